/* The budget of blocks: what may be in use for what, what stays warm, who waits for room. */
#define _GNU_SOURCE
#include <errno.h>

#include "block.h"
#include "family.h"
#include "lock.h"
#include "platform.h"

#define MIB ((uint64_t)1 << 20)

static void make(struct pcn_arena *arena, uint64_t budget)
{
    CHECK_EQ(pcn_arena_create(arena, (uint64_t)2 << 30), PCN_OK);
    CHECK_EQ(pcn_owner_join(arena, 0), PCN_OK);
    pcn_block_set_budget(arena, budget);
}

static pcn_block_id allocate(struct pcn_arena *arena, enum pcn_use use, uint64_t length)
{
    pcn_block_id id = 0;
    CHECK_EQ(pcn_block_allocate_for(arena, use, length, &id, true), PCN_OK);
    return id;
}

static void refuse(struct pcn_arena *arena, enum pcn_use use, uint64_t length)
{
    pcn_block_id id;
    errno = 0;
    CHECK_EQ(pcn_block_allocate_for(arena, use, length, &id, true), PCN_NO_MEMORY);
    CHECK_EQ(errno, EDQUOT);
    CHECK_VALID(pcn_validate_arena(arena));
}

static void release(struct pcn_arena *arena, pcn_block_id id)
{
    CHECK_EQ(pcn_block_free(arena, id, false, true), PCN_OK);
}

static uint64_t paged(const struct pcn_arena *arena)
{
    return pcn_load_relaxed64(&pcn_head(arena)->paged);
}

static uint64_t warm(const struct pcn_arena *arena)
{
    return pcn_load_relaxed64(&pcn_head(arena)->warm_free);
}

static void a_new_arena_has_a_budget(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    CHECK(pcn_block_budget(&arena) > 0);
    CHECK(pcn_block_budget(&arena) <= arena.reserve - PCN_DATA_AT);
    CHECK_EQ(paged(&arena), 0);
    CHECK_EQ(warm(&arena), 0);
}

static void results_may_have_all_and_arguments_three_quarters(void)
{
    struct pcn_arena arena;
    make(&arena, 64 * MIB);
    pcn_block_id ids[4];
    for (int i = 0; i < 3; i++)
        ids[i] = allocate(&arena, PCN_FOR_ARGUMENTS, 16 * MIB);
    refuse(&arena, PCN_FOR_ARGUMENTS, MIB);
    ids[3] = allocate(&arena, PCN_FOR_RESULTS, 16 * MIB);
    refuse(&arena, PCN_FOR_RESULTS, MIB);
    CHECK_EQ(paged(&arena), 64 * MIB);
    release(&arena, ids[0]);
    CHECK_EQ(warm(&arena), 16 * MIB);
    refuse(&arena, PCN_FOR_ARGUMENTS, 16 * MIB); /* warm or not: three quarters are in use */
    release(&arena, ids[1]);
    CHECK_EQ(allocate(&arena, PCN_FOR_ARGUMENTS, 16 * MIB), ids[1]);
    CHECK_EQ(paged(&arena), 64 * MIB);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void records_go_on_beyond_it(void)
{
    struct pcn_arena arena;
    make(&arena, 16 * MIB);
    allocate(&arena, PCN_FOR_RESULTS, 16 * MIB);
    pcn_block_id id;
    uint64_t records = 0;
    while (pcn_block_allocate(&arena, PCN_RECORD, &id, true) == PCN_OK)
        records += PCN_RECORD;
    CHECK_EQ(errno, EDQUOT);
    CHECK_EQ(records, 2 * MIB);
    refuse(&arena, PCN_FOR_RESULTS, PCN_RECORD);
}

static void what_is_warm_gives_way(void)
{
    struct pcn_arena arena;
    make(&arena, 64 * MIB);
    pcn_block_id ids[16];
    for (int i = 0; i < 16; i++)
        ids[i] = allocate(&arena, PCN_FOR_RESULTS, 4 * MIB);
    for (int i = 0; i < 16; i++)
        release(&arena, ids[i]);
    CHECK_EQ(warm(&arena), 64 * MIB);
    uint64_t used = pcn_file_used(arena.fd);
    allocate(&arena, PCN_FOR_RESULTS, 10 * MIB); /* three of them have to go */
    CHECK_EQ(paged(&arena), 62 * MIB);
    CHECK_EQ(warm(&arena), 52 * MIB);
    CHECK_EQ(pcn_file_used(arena.fd), used - 2 * MIB);
    CHECK_VALID(pcn_validate_arena(&arena));
    allocate(&arena, PCN_FOR_RESULTS, 48 * MIB);
    CHECK_EQ(paged(&arena), 62 * MIB);
    CHECK_EQ(warm(&arena), 4 * MIB);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void a_smaller_budget_takes_effect_at_once(void)
{
    struct pcn_arena arena;
    make(&arena, 64 * MIB);
    pcn_block_id kept = allocate(&arena, PCN_FOR_RESULTS, 16 * MIB);
    pcn_block_id freed = allocate(&arena, PCN_FOR_RESULTS, 32 * MIB);
    release(&arena, freed);
    pcn_block_set_budget(&arena, 8 * MIB); /* what is in use stays */
    CHECK_EQ(pcn_block_budget(&arena), 8 * MIB);
    CHECK_EQ(paged(&arena), 16 * MIB);
    CHECK_EQ(warm(&arena), 0);
    refuse(&arena, PCN_FOR_RESULTS, MIB);
    release(&arena, kept);
    allocate(&arena, PCN_FOR_RESULTS, MIB);
    CHECK(paged(&arena) <= 8 * MIB);
    pcn_block_set_budget(&arena, 0);
    allocate(&arena, PCN_FOR_ARGUMENTS, 100 * MIB);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void the_most_that_can_be_had_can_be_had(void)
{
    struct pcn_arena arena;
    const uint64_t budgets[] = {PCN_PAGE * 4, 100 * MIB, 128 * MIB + 1, 333 * MIB + 77, 0};
    make(&arena, 0);
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        pcn_block_set_budget(&arena, budgets[i]);
        for (enum pcn_use use = PCN_FOR_ARGUMENTS; use <= PCN_FOR_RESULTS; use++) {
            uint64_t most = pcn_block_most(&arena, use);
            if (budgets[i] == 0)
                CHECK(most > (uint64_t)1 << 30);
            else
                refuse(&arena, use, most + 1);
            if (most && budgets[i])
                CHECK_EQ(pcn_block_free(&arena, allocate(&arena, use, most), true, true), PCN_OK);
        }
    }
    pcn_block_set_budget(&arena, PCN_PAGE);
    CHECK_EQ(pcn_block_most(&arena, PCN_FOR_RESULTS), 0);
}

static void large_blocks_are_recycled_while_there_is_room(void)
{
    struct pcn_arena arena;
    make(&arena, (uint64_t)16 << 30); /* an eighth of it may stay warm */
    pcn_block_id id = allocate(&arena, PCN_FOR_RESULTS, 384 * MIB);
    uint64_t used = pcn_file_used(arena.fd);
    release(&arena, id);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_EQ(allocate(&arena, PCN_FOR_RESULTS, 384 * MIB), id);
    pcn_block_set_budget(&arena, (uint64_t)1 << 30); /* now 256 MiB may */
    release(&arena, id);
    CHECK_EQ(pcn_file_used(arena.fd), used - 384 * MIB);
    CHECK_EQ(paged(&arena), 0);
}

static void what_was_freed_last_stays_warm(void)
{
    struct pcn_arena arena;
    make(&arena, (uint64_t)1 << 30);
    pcn_block_id small[8], large[2];
    for (int i = 0; i < 8; i++)
        small[i] = allocate(&arena, PCN_FOR_RESULTS, 32 * MIB);
    for (int i = 0; i < 2; i++)
        large[i] = allocate(&arena, PCN_FOR_RESULTS, 64 * MIB);
    for (int i = 0; i < 8; i++)
        release(&arena, small[i]);
    CHECK_EQ(warm(&arena), PCN_WARM_TOTAL);
    for (int i = 0; i < 2; i++)
        release(&arena, large[i]); /* in their favour four small ones are given back */
    CHECK_EQ(warm(&arena), PCN_WARM_TOTAL);
    uint64_t used = pcn_file_used(arena.fd);
    allocate(&arena, PCN_FOR_RESULTS, 64 * MIB);
    allocate(&arena, PCN_FOR_RESULTS, 64 * MIB);
    CHECK_EQ(pcn_file_used(arena.fd), used);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void long_work_is_left_to_who_can_wait(void)
{
    struct pcn_arena arena;
    make(&arena, 0);
    pcn_block_id id;
    CHECK_EQ(pcn_block_allocate(&arena, PCN_RECORD, &id, false), PCN_OK);
    CHECK_EQ(pcn_block_allocate(&arena, MIB, &id, false), PCN_BUSY);
    CHECK_EQ(pcn_block_allocate(&arena, MIB, &id, true), PCN_OK);
    release(&arena, id);
    pcn_block_id again;
    CHECK_EQ(pcn_block_allocate(&arena, MIB, &again, false), PCN_OK); /* its pages are there */
    CHECK_EQ(again, id);
    CHECK_EQ(paged(&arena), MIB + PCN_RECORD);
}

/* ---- waiting ---- */

struct waiting {
    uint32_t seen;
    struct gate woken;
};

static void wait_for_room(struct pcn_arena *arena, void *context)
{
    struct waiting *waiting = context;
    CHECK_EQ(pcn_block_wait_freed(arena, waiting->seen, FAMILY_PATIENCE_NS), PCN_OK);
    gate_open(&waiting->woken, 1);
}

static void until_somebody_waits(const struct pcn_arena *arena)
{
    while (pcn_load_relaxed32(&pcn_head(arena)->room_waiters) == 0)
        pcn_yield();
}

static void a_freed_block_wakes_all_who_wait(void)
{
    struct pcn_arena arena;
    make(&arena, 0);
    pcn_block_id id = allocate(&arena, PCN_FOR_RESULTS, 1);
    struct waiting waiting = {pcn_block_freed(&arena), gate_make()};
    pid_t children[3];
    for (int i = 0; i < 3; i++)
        children[i] = family_fork(&arena, wait_for_room, &waiting);
    until_somebody_waits(&arena);
    release(&arena, id);
    for (int i = 0; i < 3; i++)
        gate_wait(&waiting.woken);
    for (int i = 0; i < 3; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pcn_load_relaxed32(&pcn_head(&arena)->room_waiters), 0);
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void what_was_freed_before_is_not_waited_for(void)
{
    struct pcn_arena arena;
    make(&arena, 0);
    uint32_t seen = pcn_block_freed(&arena);
    pcn_block_id id = allocate(&arena, PCN_FOR_RESULTS, 1);
    CHECK_EQ(pcn_block_wait_freed(&arena, seen, 1000000), PCN_TIMEOUT);
    release(&arena, id);
    CHECK_EQ(pcn_block_wait_freed(&arena, seen, UINT64_MAX), PCN_OK);
    seen = pcn_block_freed(&arena);
    CHECK_EQ(pcn_block_free(&arena, id, false, true), PCN_OK); /* it is free already */
    CHECK_EQ(pcn_block_wait_freed(&arena, seen, 0), PCN_TIMEOUT);
    pcn_block_set_budget(&arena, 0);
    CHECK_EQ(pcn_block_wait_freed(&arena, seen, UINT64_MAX), PCN_OK);
}

static void a_death_wakes_who_waits_once_it_is_swept(void)
{
    struct pcn_arena arena;
    make(&arena, 0);
    pcn_token dead;
    pid_t child = family_fork_staying(&arena, &dead);
    pcn_block_send(&arena, allocate(&arena, PCN_FOR_RESULTS, MIB), dead);
    struct waiting waiting = {pcn_block_freed(&arena), gate_make()};
    pid_t waiter = family_fork(&arena, wait_for_room, &waiting);
    until_somebody_waits(&arena);
    family_kill(child);
    CHECK(pcn_recover_all(&arena) >= 1); /* the woken one may have ended, too */
    gate_wait(&waiting.woken);
    CHECK(family_wait(waiter));
    CHECK_EQ(paged(&arena), 0);
}

static void on_alarm(int number)
{
    (void)number;
}

static void a_signal_ends_the_sleep(void)
{
    struct pcn_arena arena;
    make(&arena, 0);
    struct sigaction action = {.sa_handler = on_alarm};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    pid_t mother = getpid();
    pid_t child = fork();
    if (child == 0) {
        until_somebody_waits(&arena);
        while (kill(mother, SIGUSR1) == 0 &&
               pcn_load_relaxed64(&pcn_head(&arena)->budget) == 0)
            usleep(1000);
        _exit(0);
    }
    CHECK_EQ(pcn_block_wait_freed(&arena, pcn_block_freed(&arena), FAMILY_PATIENCE_NS),
             PCN_SIGNAL);
    pcn_block_set_budget(&arena, 1); /* that is enough */
    action.sa_handler = SIG_IGN; /* one more may come */
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK(family_wait(child));
}

static const struct check_case cases[] = {
    CHECK_CASE(a_new_arena_has_a_budget),
    CHECK_CASE(results_may_have_all_and_arguments_three_quarters),
    CHECK_CASE(records_go_on_beyond_it),
    CHECK_CASE(what_is_warm_gives_way),
    CHECK_CASE(a_smaller_budget_takes_effect_at_once),
    CHECK_CASE(the_most_that_can_be_had_can_be_had),
    CHECK_CASE(large_blocks_are_recycled_while_there_is_room),
    CHECK_CASE(what_was_freed_last_stays_warm),
    CHECK_CASE(long_work_is_left_to_who_can_wait),
    CHECK_CASE(a_freed_block_wakes_all_who_wait),
    CHECK_CASE(what_was_freed_before_is_not_waited_for),
    CHECK_CASE(a_death_wakes_who_waits_once_it_is_swept),
    CHECK_CASE(a_signal_ends_the_sleep),
};
CHECK_MAIN(cases)
