/* When addresses or descriptors run short: free neighbours are joined, parted again when freed, and
 * what is free at the table's end is given back. */
#define _GNU_SOURCE
#include <errno.h>

#include "block.h"
#include "family.h"
#include "lock.h"
#include "platform.h"

#define MIB ((uint64_t)1 << 20)

/* The smallest arena there is: 64 MiB for blocks. */
static void make(struct pcn_arena *arena)
{
    CHECK_EQ(pcn_arena_create(arena, 0), PCN_OK);
    CHECK_EQ(pcn_owner_join(arena, 0), PCN_OK);
    CHECK_EQ(arena->reserve - PCN_DATA_AT, 64 * MIB);
}

static pcn_block_id allocate(struct pcn_arena *arena, uint64_t length)
{
    pcn_block_id id = 0;
    CHECK_EQ(pcn_block_allocate_for(arena, PCN_FOR_RESULTS, length, &id, true), PCN_OK);
    memset(pcn_block_bytes(arena, id), (int)id, length);
    CHECK_VALID(pcn_validate_arena(arena));
    return id;
}

static void refuse(struct pcn_arena *arena, uint64_t length)
{
    pcn_block_id id;
    CHECK_EQ(pcn_block_allocate_for(arena, PCN_FOR_RESULTS, length, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(errno, EDQUOT);
    CHECK_VALID(pcn_validate_arena(arena));
}

static void release(struct pcn_arena *arena, pcn_block_id id)
{
    const uint8_t *bytes = pcn_block_bytes(arena, id);
    uint64_t length = pcn_block_length(arena, id);
    CHECK_EQ(bytes[0], id);
    CHECK_EQ(bytes[length / 2], id);
    CHECK_EQ(bytes[length - 1], id);
    CHECK_EQ(pcn_block_free(arena, id, false, true), PCN_OK);
    CHECK_VALID(pcn_validate_arena(arena));
}

static uint64_t capacity(const struct pcn_arena *arena, pcn_block_id id)
{
    return pcn_load_relaxed64(&pcn_block_at(arena, id - 1)->capacity);
}

static uint32_t descriptors(const struct pcn_arena *arena)
{
    return pcn_load_relaxed32(&pcn_head(arena)->blocks_high);
}

/* Four blocks of 16 MiB: all there is. */
static void fill(struct pcn_arena *arena, pcn_block_id ids[4])
{
    make(arena);
    for (int i = 0; i < 4; i++)
        ids[i] = allocate(arena, 16 * MIB);
    refuse(arena, 1);
}

static void free_neighbours_are_joined_and_parted(void)
{
    struct pcn_arena arena;
    pcn_block_id ids[4];
    fill(&arena, ids);
    release(&arena, ids[1]);
    release(&arena, ids[2]);
    uint64_t used = pcn_file_used(arena.fd);
    pcn_block_id joined = allocate(&arena, 30 * MIB);
    CHECK_EQ(joined, ids[1]);
    CHECK_EQ(capacity(&arena, joined), 32 * MIB);
    CHECK_EQ(pcn_file_used(arena.fd), used); /* they were warm */
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(&arena, &bytes, &count);
    CHECK_EQ(bytes, 64 * MIB);
    CHECK_EQ(count, 3);
    refuse(&arena, 1);
    release(&arena, joined);
    CHECK_EQ(capacity(&arena, ids[1]), 16 * MIB);
    pcn_block_id first = allocate(&arena, 16 * MIB), second = allocate(&arena, 16 * MIB);
    CHECK(first + second == ids[1] + ids[2] && first != second);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    refuse(&arena, 1);
}

static void neighbours_in_use_are_left_alone(void)
{
    struct pcn_arena arena;
    pcn_block_id ids[4];
    fill(&arena, ids);
    release(&arena, ids[0]);
    release(&arena, ids[2]);
    refuse(&arena, 17 * MIB);
    pcn_block_id larger = allocate(&arena, 3 * MIB); /* a larger class's */
    CHECK(larger == ids[0] || larger == ids[2]);
    CHECK_EQ(capacity(&arena, larger), 16 * MIB);
    release(&arena, ids[1]);
    release(&arena, ids[3]);
}

static void the_tightest_run_is_taken(void)
{
    struct pcn_arena arena;
    make(&arena);
    const uint64_t sizes[] = {8, 8, 1, 6, 6, 1, 28, 6};
    pcn_block_id ids[8];
    for (int i = 0; i < 8; i++)
        ids[i] = allocate(&arena, sizes[i] * MIB);
    const int holes[] = {0, 1, 3, 4, 6};
    for (int i = 0; i < 5; i++)
        release(&arena, ids[holes[i]]);
    CHECK_EQ(allocate(&arena, 11 * MIB), ids[3]); /* 6 + 6, rather than 8 + 8 or 28 */
    CHECK_EQ(allocate(&arena, 15 * MIB), ids[0]);
    CHECK_EQ(allocate(&arena, 15 * MIB), ids[6]);
    refuse(&arena, 7 * MIB);
}

static void many_are_joined_and_come_back_each(void)
{
    struct pcn_arena arena;
    make(&arena);
    pcn_block_id ids[64];
    for (int i = 0; i < 64; i++)
        ids[i] = allocate(&arena, MIB);
    CHECK_EQ(descriptors(&arena), 64);
    for (int i = 8; i < 64; i++)
        release(&arena, ids[i]);
    uint64_t used = pcn_file_used(arena.fd);
    pcn_block_id joined = allocate(&arena, 20 * MIB);
    CHECK_EQ(descriptors(&arena), 64); /* free neighbours do, pages and all */
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(joined, ids[8]);
    for (int i = 8; i < 44; i++)
        CHECK(allocate(&arena, MIB) > joined);
    refuse(&arena, 1);
    release(&arena, joined);
    CHECK_EQ(pcn_block_free(&arena, ids[0], true, true), PCN_OK);
    pcn_block_trim(&arena);
    CHECK_EQ(pcn_file_used(arena.fd), used - 21 * MIB);
}

static void what_is_much_too_large_at_the_end_makes_way(void)
{
    struct pcn_arena arena;
    make(&arena);
    pcn_block_id first = allocate(&arena, 20 * MIB);
    pcn_block_id all = allocate(&arena, 40 * MIB);
    CHECK_EQ(capacity(&arena, all), 40 * MIB);
    release(&arena, all);
    uint64_t used = pcn_file_used(arena.fd);
    pcn_block_id small = allocate(&arena, 5 * MIB); /* 4 MiB are left at the end */
    CHECK_EQ(small, all);
    CHECK_EQ(capacity(&arena, small), 5 * MIB);
    CHECK_EQ(pcn_file_used(arena.fd), used - 35 * MIB);
    pcn_block_id other = allocate(&arena, 32 * MIB);
    CHECK_EQ(other, small + 1);
    release(&arena, first);
    release(&arena, other);
    release(&arena, small);
    CHECK_EQ(pcn_load_relaxed64(&pcn_head(&arena)->warm_free),
             pcn_load_relaxed64(&pcn_head(&arena)->paged));
    CHECK_EQ(allocate(&arena, 64 * MIB), 1);
}

static void a_swept_joined_block_is_parted_and_cold(void)
{
    struct pcn_arena arena;
    pcn_block_id ids[4];
    fill(&arena, ids);
    for (int i = 1; i < 4; i++)
        release(&arena, ids[i]);
    pcn_token dead;
    pid_t child = family_fork_staying(&arena, &dead);
    pcn_block_send(&arena, allocate(&arena, 48 * MIB), dead);
    uint64_t used = pcn_file_used(arena.fd);
    family_kill(child);
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(pcn_file_used(arena.fd), used - 48 * MIB);
    for (int i = 1; i < 4; i++)
        CHECK_EQ(capacity(&arena, ids[i]), 16 * MIB);
}

static void an_address_leads_to_its_block(void)
{
    struct pcn_arena arena;
    pcn_block_id ids[4];
    fill(&arena, ids);
    for (int i = 0; i < 3; i++)
        release(&arena, ids[i]);
    pcn_block_id joined = allocate(&arena, 48 * MIB - 7);
    uint64_t begin = pcn_block_offset(&arena, joined);
    const uint64_t within[] = {0, 1, 16 * MIB - 1, 16 * MIB, 40 * MIB, 48 * MIB - 1};
    for (size_t i = 0; i < sizeof within / sizeof *within; i++)
        CHECK_EQ(pcn_block_around(&arena, begin + within[i]), joined);
    CHECK_EQ(pcn_block_around(&arena, begin + 48 * MIB), ids[3]);
    CHECK_EQ(pcn_block_around(&arena, begin + 64 * MIB), 0);
    CHECK_EQ(pcn_block_around(&arena, PCN_DATA_AT - 1), 0);
    CHECK_EQ(pcn_block_around(&arena, 0), 0);
}

static void an_id_of_what_was_joined_frees_nothing(void)
{
    struct pcn_arena arena;
    pcn_block_id ids[4];
    fill(&arena, ids);
    release(&arena, ids[1]);
    release(&arena, ids[2]);
    pcn_block_id joined = allocate(&arena, 32 * MIB);
    CHECK_EQ(pcn_block_free(&arena, joined + 1, false, true), PCN_OK);
    CHECK_VALID(pcn_validate_arena(&arena));
    release(&arena, joined);
}

/* A table full of the smallest blocks. Their pages are not needed here. */
static void a_full_table_is_joined_too(void)
{
    struct pcn_arena arena;
    CHECK_EQ(pcn_arena_create(&arena, (uint64_t)4 << 30), PCN_OK);
    CHECK_EQ(pcn_owner_join(&arena, 0), PCN_OK);
    pcn_block_set_budget(&arena, 0);
    pcn_block_id id;
    for (uint32_t i = 0; i < PCN_MAX_BLOCKS; i++) {
        CHECK_EQ(pcn_block_allocate(&arena, 1, &id, true), PCN_OK);
        pcn_return_pages(arena.fd, pcn_block_offset(&arena, id), 4 * PCN_PAGE);
    }
    CHECK_EQ(pcn_block_allocate(&arena, 1, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(errno, EDQUOT);
    CHECK_EQ(pcn_block_free(&arena, 100, true, true), PCN_OK);
    CHECK_EQ(pcn_block_allocate(&arena, MIB, &id, true), PCN_NO_MEMORY);
    for (uint32_t i = 101; i < 164; i++)
        CHECK_EQ(pcn_block_free(&arena, i, true, true), PCN_OK);
    CHECK_EQ(allocate(&arena, MIB), 100);
    release(&arena, 100);
    /* A descriptor at the end, for something larger than any run. */
    CHECK_EQ(pcn_block_allocate(&arena, 100 * MIB, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(pcn_block_free(&arena, PCN_MAX_BLOCKS, true, true), PCN_OK);
    CHECK_EQ(pcn_block_allocate(&arena, 100 * MIB, &id, true), PCN_OK);
    CHECK_EQ(id, PCN_MAX_BLOCKS);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static const struct check_case cases[] = {
    CHECK_CASE(free_neighbours_are_joined_and_parted),
    CHECK_CASE(neighbours_in_use_are_left_alone),
    CHECK_CASE(the_tightest_run_is_taken),
    CHECK_CASE(many_are_joined_and_come_back_each),
    CHECK_CASE(what_is_much_too_large_at_the_end_makes_way),
    CHECK_CASE(a_swept_joined_block_is_parted_and_cold),
    CHECK_CASE(an_address_leads_to_its_block),
    CHECK_CASE(an_id_of_what_was_joined_frees_nothing),
    CHECK_CASE(a_full_table_is_joined_too),
};
CHECK_MAIN(cases)
