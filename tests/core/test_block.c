/* Blocks: size classes, warm reuse, hand-over from process to process, and what a death
 * gives back. */
#define _GNU_SOURCE
#include <errno.h>

#include "block.h"
#include "family.h"
#include "platform.h"

static uint32_t owned(const struct pcn_arena *arena, uint64_t *bytes)
{
    uint64_t unwanted;
    uint32_t count;
    pcn_block_totals(arena, bytes ? bytes : &unwanted, &count);
    return count;
}

static pcn_block_id allocate(struct pcn_arena *arena, uint64_t length)
{
    pcn_block_id id = 0;
    CHECK_EQ(pcn_block_allocate(arena, length, &id, true), PCN_OK);
    CHECK(id != 0);
    CHECK_EQ(pcn_block_length(arena, id), length);
    return id;
}

static void classes_grow_and_waste_little(void)
{
    for (uint32_t size_class = 0; size_class < PCN_CLASSES; size_class++) {
        uint64_t capacity = pcn_class_capacity(size_class);
        CHECK_EQ(capacity % PCN_PAGE, 0);
        CHECK_EQ(pcn_block_class(capacity), size_class);
        CHECK_EQ(pcn_block_class(capacity + 1), size_class + 1);
        if (size_class > 0) {
            uint64_t below = pcn_class_capacity(size_class - 1);
            CHECK(capacity > below);
            CHECK((capacity - below - 1) * 5 <= capacity); /* the worst slack: a fifth */
        }
    }
    CHECK_EQ(pcn_block_class(0), 0);
    CHECK_EQ(pcn_block_class(UINT64_MAX), PCN_CLASSES);
}

static void a_freed_block_comes_back_warm(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_block_id first = allocate(&arena, 1u << 20);
    memset(pcn_block_bytes(&arena, first), 1, 1u << 20);
    uint64_t used = pcn_file_used(arena.fd);
    CHECK_EQ(pcn_block_free(&arena, first, false, true), PCN_OK);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(allocate(&arena, (1u << 20) - 4000), first);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_block_freed_cold_gives_its_pages_back(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    allocate(&arena, 1);
    uint64_t used = pcn_file_used(arena.fd);
    pcn_block_id id = allocate(&arena, 1u << 20);
    CHECK_EQ(pcn_file_used(arena.fd), used + (1u << 20)); /* there before the first touch */
    CHECK_EQ(pcn_block_free(&arena, id, true, true), PCN_OK);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(allocate(&arena, 1u << 20), id);
    CHECK_EQ(pcn_block_bytes(&arena, id)[12345], 0);
}

static void trim_gives_back_what_nobody_owns(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_block_id kept = allocate(&arena, 300000);
    memset(pcn_block_bytes(&arena, kept), 9, 300000);
    uint64_t used = pcn_file_used(arena.fd);
    pcn_block_id ids[20];
    for (uint64_t i = 0; i < 20; i++)
        ids[i] = allocate(&arena, 20000 * (i + 1));
    for (int i = 0; i < 20; i++)
        CHECK_EQ(pcn_block_free(&arena, ids[i], false, true), PCN_OK);
    CHECK(pcn_file_used(arena.fd) > used + 20000);
    pcn_block_trim(&arena);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(pcn_block_bytes(&arena, kept)[299999], 9);
    CHECK_VALID(pcn_validate_arena(&arena));
    for (uint64_t i = 0; i < 20; i++)
        allocate(&arena, 20000 * (i + 1));
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_second_free_does_nothing(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_block_id id = allocate(&arena, 10);
    CHECK_EQ(pcn_block_free(&arena, id, false, true), PCN_OK);
    CHECK_EQ(pcn_block_free(&arena, id, true, true), PCN_OK);
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(owned(&arena, NULL), 0);
}

static void shortage_is_an_answer_and_not_the_end(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, 0), PCN_OK);
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    pcn_block_id id;
    errno = 0;
    CHECK_EQ(pcn_block_allocate(&arena, arena.reserve, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(errno, EDQUOT);
    CHECK_EQ(pcn_block_allocate(&arena, UINT64_MAX, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(owned(&arena, NULL), 0);
    CHECK_EQ(pcn_file_used(arena.fd) < (1u << 20), 1);
    pcn_block_id ids[64];
    uint32_t count = 0;
    while (pcn_block_allocate(&arena, 8u << 20, &ids[count], true) == PCN_OK)
        count++;
    CHECK(count >= 4);
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(pcn_block_free(&arena, ids[1], false, true), PCN_OK);
    CHECK_EQ(allocate(&arena, 8u << 20), ids[1]);
}

/* ---- random work against a model ---- */

struct model_block {
    pcn_block_id id;
    uint64_t length;
    uint8_t fill;
};

static void check_block(const struct pcn_arena *arena, const struct model_block *block)
{
    const uint8_t *bytes = pcn_block_bytes(arena, block->id);
    CHECK_EQ(pcn_block_length(arena, block->id), block->length);
    for (uint64_t at = 0; at < block->length; at += 509)
        CHECK_EQ(bytes[at], block->fill);
    CHECK(block->length == 0 || bytes[block->length - 1] == block->fill);
}

static uint64_t random_length(uint64_t *random)
{
    switch (check_random(random) % 4) {
    case 0:
        return check_random(random) % 100;
    case 1:
        return pcn_class_capacity((uint32_t)(check_random(random) % 12)); /* exactly full */
    default:
        return check_random(random) % 200000;
    }
}

/* `shared`: others allocate in the same arena, so that only our own blocks can be counted. */
static void random_steps(struct pcn_arena *arena, uint64_t seed, int steps, bool shared)
{
    uint64_t random = seed * 0x9e3779b97f4a7c15u;
    struct model_block model[64];
    uint32_t live = 0;
    snprintf(check_context, sizeof check_context, "seed %llu", (unsigned long long)seed);
    for (int step = 0; step < steps; step++) {
        uint64_t choice = check_random(&random) % 100;
        if (live < 64 && choice < 50) {
            struct model_block *block = &model[live++];
            block->length = random_length(&random);
            block->fill = (uint8_t)check_random(&random);
            block->id = allocate(arena, block->length);
            memset(pcn_block_bytes(arena, block->id), block->fill, block->length);
        } else if (live > 0 && choice < 98) {
            uint32_t which = (uint32_t)(check_random(&random) % live);
            check_block(arena, &model[which]);
            bool cold = choice % 8 == 0;
            CHECK_EQ(pcn_block_free(arena, model[which].id, cold, true), PCN_OK);
            model[which] = model[--live];
        } else if (choice >= 98) {
            pcn_block_trim(arena);
        }
        if (!shared && step % 16 == 0) {
            CHECK_VALID(pcn_validate_arena(arena));
            uint64_t bytes, expected = 0;
            CHECK_EQ(owned(arena, &bytes), live);
            for (uint32_t i = 0; i < live; i++)
                expected += pcn_class_capacity(pcn_block_class(model[i].length));
            CHECK_EQ(bytes, expected);
        }
    }
    for (uint32_t i = 0; i < live; i++) {
        check_block(arena, &model[i]);
        CHECK_EQ(pcn_block_free(arena, model[i].id, false, true), PCN_OK);
    }
    *check_context = 0;
}

static void random_work_matches_a_model(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    for (uint64_t seed = 1; seed <= 6; seed++)
        random_steps(&arena, seed, 600, false);
    CHECK_EQ(owned(&arena, NULL), 0);
}

static void work_at_random(struct pcn_arena *arena, void *context)
{
    random_steps(arena, *(uint64_t *)context, 500, true);
}

static void processes_never_share_a_block(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pid_t children[3];
    for (uint64_t seed = 0; seed < 3; seed++) {
        uint64_t own = seed + 100;
        children[seed] = family_fork(&arena, work_at_random, &own);
    }
    for (int i = 0; i < 3; i++)
        CHECK(family_wait(children[i]));
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(owned(&arena, NULL), 0);
}

/* ---- from process to process ---- */

struct parcel {
    pcn_token sender, receiver;
    pcn_block_id blocks[6];
    struct gate done;
};

static void send_some(struct pcn_arena *arena, void *context)
{
    struct parcel *parcel = context;
    parcel->sender = arena->me;
    for (int i = 0; i < 6; i++) {
        parcel->blocks[i] = allocate(arena, 20000);
        memset(pcn_block_bytes(arena, parcel->blocks[i]), 'a' + i, 20000);
        if (i < 4)
            pcn_block_send(arena, parcel->blocks[i], parcel->receiver);
    }
}

static void a_sent_block_outlives_its_sender(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct parcel *parcel = family_memory(sizeof *parcel);
    parcel->receiver = arena.me;
    CHECK(family_wait(family_fork(&arena, send_some, parcel)));
    pcn_block_adopt(&arena, parcel->blocks[0]);
    pcn_block_adopt(&arena, parcel->blocks[1]);
    CHECK_EQ(pcn_recover_all(&arena), 1); /* two never sent */
    CHECK_EQ(owned(&arena, NULL), 4);
    CHECK_EQ(pcn_block_bytes(&arena, parcel->blocks[1])[19999], 'b');
    CHECK_EQ(pcn_block_reclaim(&arena, parcel->sender), 2); /* two never adopted */
    CHECK_EQ(pcn_block_reclaim(&arena, parcel->sender), 0);
    CHECK_EQ(owned(&arena, NULL), 2);
    CHECK_EQ(pcn_block_bytes(&arena, parcel->blocks[0])[0], 'a');
    CHECK_EQ(pcn_block_free(&arena, parcel->blocks[0], false, true), PCN_OK);
    CHECK_EQ(pcn_block_free(&arena, parcel->blocks[1], false, true), PCN_OK);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void adopting_twice_is_adopting_once(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_block_id id = allocate(&arena, 10);
    pcn_block_send(&arena, id, arena.me);
    CHECK_EQ(owned(&arena, NULL), 1);
    pcn_block_adopt(&arena, id);
    pcn_block_adopt(&arena, id);
    CHECK_EQ(pcn_block_reclaim(&arena, arena.me), 0);
    CHECK_EQ(owned(&arena, NULL), 1);
}

static void reclaiming_from_nobody_frees_nothing(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    allocate(&arena, 10); /* never sent: its sender is nobody */
    CHECK_EQ(pcn_block_reclaim(&arena, 0), 0);
    CHECK_EQ(owned(&arena, NULL), 1);
}

static void receive_and_die(struct pcn_arena *arena, void *context)
{
    struct parcel *parcel = context;
    parcel->receiver = arena->me;
    gate_open(&parcel->done, 1);
    for (;;)
        pause();
}

static void a_block_sent_to_the_dead_is_swept(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct parcel *parcel = family_memory(sizeof *parcel);
    parcel->done = gate_make();
    pid_t child = family_fork(&arena, receive_and_die, parcel);
    gate_wait(&parcel->done);
    pcn_block_send(&arena, allocate(&arena, 70000), parcel->receiver);
    pcn_block_id adopted = allocate(&arena, 70000);
    pcn_block_send(&arena, adopted, parcel->receiver);
    CHECK_EQ(owned(&arena, NULL), 2);
    family_kill(child);
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK_EQ(owned(&arena, NULL), 0);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void allocate_and_stay(struct pcn_arena *arena, void *context)
{
    for (uint64_t i = 0; i < 5; i++)
        allocate(arena, 50000 * (i + 1));
    family_stay(arena, context);
}

static void a_death_gives_back_blocks_and_pages(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    allocate(&arena, 100);
    struct gate done = gate_make();
    pid_t child = family_fork(&arena, allocate_and_stay, &done);
    gate_wait(&done);
    CHECK_EQ(owned(&arena, NULL), 6);
    uint64_t before = pcn_file_used(arena.fd);
    family_kill(child);
    CHECK_EQ(owned(&arena, NULL), 6); /* nobody swept yet */
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK_EQ(owned(&arena, NULL), 1);
    CHECK(pcn_file_used(arena.fd) <= before - 750000);
    CHECK_VALID(pcn_validate_arena(&arena));
}

/* ---- of objects ---- */

#define AN_OBJECT ((pcn_token)7 << 16 | 0xffffu)

static pcn_block_id give(struct pcn_arena *arena, uint64_t length)
{
    pcn_block_id id = allocate(arena, length);
    pcn_block_give(arena, id, AN_OBJECT, 0);
    return id;
}

static void what_an_object_leaves_comes_back_warm(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_block_id other = allocate(&arena, 1u << 20);
    pcn_block_id first = give(&arena, 1u << 20), second = give(&arena, 3u << 20);
    uint64_t used = pcn_file_used(arena.fd);
    CHECK_EQ(pcn_block_sweep_object(&arena, AN_OBJECT), 2);
    CHECK_EQ(owned(&arena, NULL), 1);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(allocate(&arena, 1u << 20), first);
    CHECK_EQ(allocate(&arena, 3u << 20), second);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(pcn_block_sweep_object(&arena, AN_OBJECT), 0); /* ours are not its */
    CHECK_EQ(pcn_block_free(&arena, other, false, true), PCN_OK);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void what_objects_leave_is_warm_up_to_a_limit(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, (uint64_t)1 << 30), PCN_OK);
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    allocate(&arena, 1);
    uint64_t used = pcn_file_used(arena.fd);
    give(&arena, PCN_WARM_TOTAL + 1);
    CHECK_EQ(pcn_block_sweep_object(&arena, AN_OBJECT), 1);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    pcn_block_id large = give(&arena, PCN_WARM_TOTAL / 2);
    CHECK_EQ(pcn_block_sweep_object(&arena, AN_OBJECT), 1);
    CHECK_EQ(pcn_file_used(arena.fd), used + PCN_WARM_TOTAL / 2);
    CHECK_EQ(allocate(&arena, PCN_WARM_TOTAL / 2), large);
    CHECK_EQ(pcn_block_free(&arena, large, true, true), PCN_OK);
    uint64_t each = PCN_WARM_TOTAL / 8;
    for (int i = 0; i < 10; i++)
        give(&arena, each);
    CHECK_EQ(pcn_block_sweep_object(&arena, AN_OBJECT), 10);
    CHECK_EQ(pcn_file_used(arena.fd), used + 8 * each);
    give(&arena, each);
    give(&arena, each / 2); /* of another class, for which there is no room */
    CHECK_EQ(pcn_block_sweep_object(&arena, AN_OBJECT), 2);
    CHECK(pcn_file_used(arena.fd) <= used + PCN_WARM_TOTAL);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static const struct check_case cases[] = {
    CHECK_CASE(classes_grow_and_waste_little),
    CHECK_CASE(a_freed_block_comes_back_warm),
    CHECK_CASE(a_block_freed_cold_gives_its_pages_back),
    CHECK_CASE(trim_gives_back_what_nobody_owns),
    CHECK_CASE(a_second_free_does_nothing),
    CHECK_CASE(shortage_is_an_answer_and_not_the_end),
    CHECK_CASE(random_work_matches_a_model),
    CHECK_CASE(processes_never_share_a_block),
    CHECK_CASE(a_sent_block_outlives_its_sender),
    CHECK_CASE(adopting_twice_is_adopting_once),
    CHECK_CASE(reclaiming_from_nobody_frees_nothing),
    CHECK_CASE(a_block_sent_to_the_dead_is_swept),
    CHECK_CASE(a_death_gives_back_blocks_and_pages),
    CHECK_CASE(what_an_object_leaves_comes_back_warm),
    CHECK_CASE(what_objects_leave_is_warm_up_to_a_limit),
};
CHECK_MAIN(cases)
