/* Death while blocks are joined, parted and given back for want of addresses, and while pages give
 * way for want of budget: the table is whole, and the accounts are those of the table. */
#define _GNU_SOURCE
#include "crash.h"

#include "block.h"
#include "heap.h"
#include "lock.h"
#include "platform.h"

#define MIB ((uint64_t)1 << 20)

struct scene {
    pcn_block_id kept;  /* the survivor's own, alive throughout */
    pcn_block_id given; /* what the child works on */
    uint64_t used;      /* pages, after trimming */
    bool sweep_late;    /* carry on first, sweep afterwards */
};

/* 64 MiB for blocks, 16 of them the survivor's; and no more addresses, if `reserve` is 0. */
static struct scene *make_scene(struct pcn_arena *arena, uint64_t reserve)
{
    CHECK_EQ(pcn_arena_create(arena, reserve), PCN_OK);
    pcn_block_set_budget(arena, 64 * MIB);
    CHECK_EQ(pcn_owner_join(arena, 0), PCN_OK);
    struct scene *scene = family_memory(sizeof *scene);
    CHECK_EQ(pcn_block_allocate(arena, 16 * MIB, &scene->kept, true), PCN_OK);
    memset(pcn_block_bytes(arena, scene->kept), 0x77, 16 * MIB);
    scene->used = pcn_file_used(arena->fd);
    return scene;
}

static uint64_t load(const pcn_atomic64 *sum)
{
    return pcn_load_relaxed64(sum);
}

/* Leave free blocks of so many MiB behind the survivor's, with pages, whatever was there. */
static void leave(struct pcn_arena *arena, const uint64_t *sizes, int count)
{
    pcn_heap_lock(arena, true);
    pcn_heap_retract(arena, 0);
    pcn_heap_unlock(arena, false);
    pcn_block_id ids[8];
    for (int i = 0; i < count; i++) {
        CHECK_EQ(pcn_block_allocate(arena, sizes[i] * MIB, &ids[i], true), PCN_OK);
        CHECK_EQ(ids[i], i + 2);
    }
    for (int i = 0; i < count; i++)
        CHECK_EQ(pcn_block_free(arena, ids[i], false, true), PCN_OK);
}

static void leave_three(struct pcn_arena *arena, void *context)
{
    (void)context;
    leave(arena, (const uint64_t[]){16, 16, 16}, 3);
}

static void leave_one(struct pcn_arena *arena, void *context)
{
    (void)context;
    leave(arena, (const uint64_t[]){48}, 1);
}

static void use_all(struct pcn_arena *arena, uint64_t each)
{
    pcn_block_id ids[16];
    uint32_t count = 0;
    while (pcn_block_allocate_for(arena, PCN_FOR_RESULTS, each, &ids[count], true) == PCN_OK) {
        memset(pcn_block_bytes(arena, ids[count]), (int)count, each);
        count++;
    }
    CHECK(count >= 1);
    CHECK_VALID(pcn_validate_arena(arena));
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(pcn_block_bytes(arena, ids[i])[each - 1], i);
        CHECK_EQ(pcn_block_free(arena, ids[i], false, true), PCN_OK);
    }
}

static void carry_on(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_head *head = pcn_head(arena);
    (void)died;
    if (scene->sweep_late)
        pcn_block_trim(arena); /* inherits the heap's lock from the dead */
    CHECK_VALID(pcn_validate_arena(arena));
    CHECK(pcn_recover_all(arena) >= 1);
    CHECK_VALID(pcn_validate_arena(arena));
    CHECK_EQ(load(&head->paged) - load(&head->warm_free), 16 * MIB);
    pcn_block_trim(arena);
    CHECK_EQ(load(&head->paged), 16 * MIB);
    CHECK(pcn_file_used(arena->fd) <= scene->used + 2 * PCN_PAGE); /* of the tables */
    pcn_block_set_budget(arena, 64 * MIB);
    use_all(arena, 40 * MIB);
    use_all(arena, 5 * MIB);
    for (uint64_t at = 0; at < 16 * MIB; at += 100001)
        CHECK_EQ(pcn_block_bytes(arena, scene->kept)[at], 0x77);
    CHECK_EQ(pcn_lock_owner(&head->heap_lock), 0);
}

static void crash_both_ways(struct crash crash, uint64_t reserve)
{
    for (int late = 0; late <= 1; late++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, reserve);
        scene->sweep_late = late;
        crash.survive = carry_on;
        crash_everywhere(&arena, &crash, scene);
    }
}

static void allocate_joined(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_allocate(arena, 40 * MIB, &scene->given, true), PCN_OK);
    CHECK_EQ(pcn_load_relaxed64(&pcn_block_at(arena, scene->given - 1)->capacity), 48 * MIB);
}

static void trim_and_allocate_joined(struct pcn_arena *arena, void *context)
{
    pcn_block_trim(arena);
    allocate_joined(arena, context);
}

static void free_given(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_free(arena, scene->given, false, true), PCN_OK);
}

static void free_given_cold(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_free(arena, scene->given, true, true), PCN_OK);
}

static void death_while_blocks_are_joined(void)
{
    crash_both_ways((struct crash){.name = "join, warm",
                                   .arrange = leave_three,
                                   .operate = allocate_joined,
                                   .points = 6}, 0);
    crash_both_ways((struct crash){.name = "trim and join, cold",
                                   .arrange = leave_three,
                                   .operate = trim_and_allocate_joined,
                                   .points = 13}, 0);
}

static void death_while_blocks_are_parted(void)
{
    crash_both_ways((struct crash){.name = "part, warm",
                                   .arrange = leave_three,
                                   .prepare = allocate_joined,
                                   .operate = free_given,
                                   .points = 9}, 0);
    crash_both_ways((struct crash){.name = "part, cold",
                                   .arrange = leave_three,
                                   .prepare = allocate_joined,
                                   .operate = free_given_cold,
                                   .points = 12}, 0);
}

static void allocate_small(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_allocate(arena, 5 * MIB, &scene->given, true), PCN_OK);
    CHECK_EQ(pcn_load_relaxed64(&pcn_block_at(arena, scene->given - 1)->capacity), 5 * MIB);
}

static void death_while_the_tables_end_is_given_back(void)
{
    crash_both_ways((struct crash){.name = "retract and extend",
                                   .arrange = leave_one,
                                   .operate = allocate_small,
                                   .points = 10}, 0);
}

static void allocate_within_the_budget(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_block_allocate(arena, 32 * MIB, &scene->given, true), PCN_OK);
    CHECK_EQ(load(&pcn_head(arena)->paged), 64 * MIB);
    CHECK_EQ(load(&pcn_head(arena)->warm_free), 16 * MIB);
}

static void death_while_pages_give_way(void)
{
    crash_both_ways((struct crash){.name = "give way",
                                   .arrange = leave_three,
                                   .operate = allocate_within_the_budget,
                                   .points = 11}, FAMILY_RESERVE);
}

static void lower_the_budget(struct pcn_arena *arena, void *context)
{
    (void)context;
    pcn_block_set_budget(arena, 20 * MIB);
}

static void death_while_the_budget_is_set(void)
{
    crash_both_ways((struct crash){.name = "budget",
                                   .arrange = leave_three,
                                   .operate = lower_the_budget,
                                   .points = 8}, 0);
}

/* ---- the heir of the heap's lock dies while it parts what was half joined ---- */

struct succession {
    struct scene *scene;
    struct gate joined, go;
    uint64_t number;
};

static void die_joining(struct pcn_arena *arena, void *context)
{
    CHECK_EQ(pcn_failpoint_arm(3), 0); /* both are marked, none is owned */
    allocate_joined(arena, context);
}

static void inherit(struct pcn_arena *arena, void *context)
{
    struct succession *succession = context;
    /* It must have its slot before the victim dies: else its join would sweep the victim. */
    gate_open(&succession->joined, 1);
    gate_wait(&succession->go);
    CHECK_EQ(pcn_failpoint_arm(succession->number), 0);
    pcn_block_trim(arena);
    pcn_failpoint_arm(0);
}

static void death_while_what_was_half_joined_is_parted(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 0);
    bool died = true;
    for (uint64_t number = 1; died; number++) {
        snprintf(check_context, sizeof check_context, "fail point %llu",
                 (unsigned long long)number);
        struct succession succession = {scene, gate_make(), gate_make(), number};
        leave_three(&arena, scene);
        pid_t heir = family_fork(&arena, inherit, &succession);
        gate_wait(&succession.joined);
        CHECK(!family_wait(family_fork(&arena, die_joining, scene)));
        CHECK_EQ(pcn_load_relaxed32(&pcn_block_at(&arena, 3)->state), PCN_BLOCK_JOINED);
        gate_open(&succession.go, 1);
        died = !family_wait(heir);
        scene->sweep_late = number % 2;
        carry_on(&arena, scene, died);
        CHECK(died || number > 6);
    }
}

static const struct check_case cases[] = {
    CHECK_CASE(death_while_blocks_are_joined),
    CHECK_CASE(death_while_blocks_are_parted),
    CHECK_CASE(death_while_the_tables_end_is_given_back),
    CHECK_CASE(death_while_pages_give_way),
    CHECK_CASE(death_while_the_budget_is_set),
    CHECK_CASE(death_while_what_was_half_joined_is_parted),
};
CHECK_MAIN(cases)
