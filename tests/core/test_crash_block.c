/* Death at each step of the blocks' life: whatever the dead one had comes back, whatever the
 * living have stays, and the free lists are whole again. */
#define _GNU_SOURCE
#include "crash.h"

#include "block.h"
#include "lock.h"
#include "platform.h"

#define LENGTH 100000u

struct scene {
    pcn_block_id kept;  /* the survivor's own, alive throughout */
    pcn_block_id given; /* what the child works on */
    pcn_token child;
    uint32_t size_class; /* of the next allocation: a new one means a new block */
    bool one_class;      /* keep to it: the number of free blocks stays the same */
    bool sweep_late;     /* carry on first, sweep afterwards */
    uint64_t used;       /* pages, after trimming */
};

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    CHECK_EQ(pcn_block_allocate(arena, LENGTH, &scene->kept, true), PCN_OK);
    memset(pcn_block_bytes(arena, scene->kept), 0x77, LENGTH);
    scene->used = pcn_file_used(arena->fd);
    return scene;
}

static void check_only_ours(struct pcn_arena *arena, struct scene *scene)
{
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(arena, &bytes, &count);
    CHECK_EQ(count, 1);
    CHECK_EQ(bytes, pcn_class_capacity(pcn_block_class(LENGTH)));
    for (uint32_t at = 0; at < LENGTH; at += 1001)
        CHECK_EQ(pcn_block_bytes(arena, scene->kept)[at], 0x77);
}

static void allocate_and_free(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint64_t length = pcn_class_capacity(scene->size_class);
    pcn_block_id ids[3];
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pcn_block_allocate(arena, length, &ids[i], true), PCN_OK);
        memset(pcn_block_bytes(arena, ids[i]), 0x11 * i, length);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pcn_block_bytes(arena, ids[i])[length - 1], 0x11 * i);
        CHECK_EQ(pcn_block_free(arena, ids[i], false, true), PCN_OK);
    }
}

/* The survivors: this process, and a second child. */
static void carry_on(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    (void)died;
    if (scene->sweep_late)
        allocate_and_free(arena, scene); /* inherits the heap's lock from the dead */
    CHECK_VALID(pcn_validate_arena(arena));
    CHECK(pcn_recover_all(arena) >= 1);
    if (scene->child)
        pcn_block_reclaim(arena, scene->child);
    check_only_ours(arena, scene);
    CHECK(family_wait(family_fork(arena, allocate_and_free, scene)));
    allocate_and_free(arena, scene);
    CHECK_EQ(pcn_recover_all(arena), 1);
    check_only_ours(arena, scene);
    /* No page is left behind by a half-done step; descriptors may have taken new ones. */
    pcn_block_trim(arena);
    CHECK(pcn_file_used(arena->fd) <= scene->used + 2 * PCN_PAGE);
    CHECK_EQ(pcn_lock_owner(&pcn_head(arena)->heap_lock), 0);
    if (!scene->one_class)
        scene->size_class++;
}

static void crash_both_ways(struct crash crash, bool one_class)
{
    for (int late = 0; late <= 1; late++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena);
        scene->sweep_late = late;
        scene->one_class = one_class;
        crash.survive = carry_on;
        crash_everywhere(&arena, &crash, scene);
    }
}

static void note_token(struct pcn_arena *arena, struct scene *scene)
{
    scene->child = arena->me;
}

static void allocate_one(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint64_t length = pcn_class_capacity(scene->size_class);
    CHECK_EQ(pcn_block_allocate(arena, length, &scene->given, true), PCN_OK);
}

static void note_and_allocate(struct pcn_arena *arena, void *context)
{
    note_token(arena, context);
    allocate_one(arena, context);
}

static void death_while_a_new_block_is_made(void)
{
    crash_both_ways((struct crash){
        .name = "block.allocate, new", .operate = allocate_one, .points = 8}, false);
}

static void leave_a_warm_block(struct pcn_arena *arena, void *context)
{
    allocate_and_free(arena, context);
}

static void death_while_a_warm_block_is_taken(void)
{
    crash_both_ways((struct crash){.name = "block.allocate, warm",
                                   .arrange = leave_a_warm_block,
                                   .operate = allocate_one,
                                   .points = 5}, false);
}

static void free_warm(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_free(arena, scene->given, false, true), PCN_OK);
}

static void free_cold(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_free(arena, scene->given, true, true), PCN_OK);
}

static void death_while_a_block_is_freed(void)
{
    crash_both_ways((struct crash){.name = "block.free, warm",
                                   .prepare = note_and_allocate,
                                   .operate = free_warm,
                                   .points = 4}, false);
    crash_both_ways((struct crash){.name = "block.free, cold",
                                   .prepare = note_and_allocate,
                                   .operate = free_cold,
                                   .points = 5}, false);
}

static void send_home(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_token home = pcn_load_relaxed64(&pcn_block_at(arena, scene->kept - 1)->owner);
    pcn_block_send(arena, scene->given, home);
}

static void death_while_a_block_is_sent(void)
{
    crash_both_ways((struct crash){.name = "block.send",
                                   .prepare = note_and_allocate,
                                   .operate = send_home,
                                   .points = 3}, false);
}

static void allocate_and_send_to_myself(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    note_and_allocate(arena, context);
    pcn_block_send(arena, scene->given, arena->me);
}

static void adopt(struct pcn_arena *arena, void *context)
{
    pcn_block_adopt(arena, ((struct scene *)context)->given);
}

static void death_while_a_block_is_adopted(void)
{
    crash_both_ways((struct crash){.name = "block.adopt",
                                   .prepare = allocate_and_send_to_myself,
                                   .operate = adopt,
                                   .points = 1}, false);
}

static void trim(struct pcn_arena *arena, void *context)
{
    (void)context;
    pcn_block_trim(arena);
}

static void death_while_pages_are_given_back(void)
{
    crash_both_ways((struct crash){.name = "block.trim",
                                   .arrange = leave_a_warm_block,
                                   .operate = trim,
                                   .points = 4}, true);
}

/* ---- the heir of the heap's lock dies too ---- */

struct succession {
    struct scene *scene;
    struct gate joined, go;
    uint64_t number;
};

static void die_with_the_lock(struct pcn_arena *arena, void *context)
{
    CHECK_EQ(pcn_failpoint_arm(2), 0); /* unlinked from its list, owned by nobody yet */
    allocate_one(arena, context);
}

static void inherit_and_allocate(struct pcn_arena *arena, void *context)
{
    struct succession *succession = context;
    /* It must have its slot before the victim dies: else its join would sweep the victim. */
    gate_open(&succession->joined, 1);
    gate_wait(&succession->go);
    CHECK_EQ(pcn_failpoint_arm(succession->number), 0);
    allocate_one(arena, succession->scene);
    pcn_failpoint_arm(0);
}

static void death_while_the_free_lists_are_rebuilt(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    bool died = true;
    for (uint64_t number = 1; died; number++) {
        snprintf(check_context, sizeof check_context, "fail point %llu",
                 (unsigned long long)number);
        struct succession succession = {scene, gate_make(), gate_make(), number};
        leave_a_warm_block(&arena, scene);
        pid_t heir = family_fork(&arena, inherit_and_allocate, &succession);
        gate_wait(&succession.joined);
        CHECK(!family_wait(family_fork(&arena, die_with_the_lock, scene)));
        CHECK(pcn_lock_owner(&pcn_head(&arena)->heap_lock) != 0);
        gate_open(&succession.go, 1);
        died = !family_wait(heir);
        scene->sweep_late = number % 2;
        carry_on(&arena, scene, died);
        CHECK(died || number > 6);
    }
}

static const struct check_case cases[] = {
    CHECK_CASE(death_while_a_new_block_is_made),
    CHECK_CASE(death_while_a_warm_block_is_taken),
    CHECK_CASE(death_while_a_block_is_freed),
    CHECK_CASE(death_while_a_block_is_sent),
    CHECK_CASE(death_while_a_block_is_adopted),
    CHECK_CASE(death_while_pages_are_given_back),
    CHECK_CASE(death_while_the_free_lists_are_rebuilt),
};
CHECK_MAIN(cases)
