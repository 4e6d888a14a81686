/* Doorbells between processes: no wake-up is lost, whoever sleeps. */
#define _GNU_SOURCE
#include <sys/time.h>

#include "doorbell_traffic.h"

static void a_ring_with_nobody_there_wakes_nobody(void)
{
    struct pcn_doorbell bell = {0};
    CHECK(!pcn_doorbell_ring(&bell));
    CHECK_EQ(pcn_load_relaxed32(&bell.word), 0); /* and costs no write */
}

static void a_ring_between_arm_and_sleep_is_not_slept_through(void)
{
    struct pcn_doorbell bell = {0};
    for (int round = 0; round < 100; round++) {
        uint32_t ticket = pcn_doorbell_arm(&bell);
        CHECK(!pcn_doorbell_ring(&bell)); /* nobody is in the kernel yet */
        CHECK_EQ(pcn_doorbell_sleep(&bell, ticket, FAMILY_PATIENCE_NS), PCN_SLEPT_CHANGED);
        ticket = pcn_doorbell_arm(&bell);
        pcn_doorbell_broadcast(&bell);
        CHECK_EQ(pcn_doorbell_sleep(&bell, ticket, FAMILY_PATIENCE_NS), PCN_SLEPT_CHANGED);
    }
}

static void a_second_sleeper_shares_the_first_ones_ticket(void)
{
    struct pcn_doorbell bell = {0};
    uint32_t first = pcn_doorbell_arm(&bell);
    CHECK_EQ(pcn_doorbell_arm(&bell), first);
    pcn_doorbell_ring(&bell);
    uint32_t next = pcn_doorbell_arm(&bell);
    CHECK(next != first);
    CHECK_EQ(pcn_doorbell_sleep(&bell, first, FAMILY_PATIENCE_NS), PCN_SLEPT_CHANGED);
}

static void a_sleep_is_bounded(void)
{
    struct pcn_doorbell bell = {0};
    uint64_t before = pcn_now_ns();
    CHECK_EQ(pcn_doorbell_sleep(&bell, pcn_doorbell_arm(&bell), 3000000), PCN_SLEPT_TIMEOUT);
    CHECK(pcn_now_ns() - before >= 3000000);
}

static void note_signal(int number)
{
    (void)number;
}

static void a_signal_ends_a_sleep(void)
{
    struct pcn_doorbell bell = {0};
    struct sigaction action = {.sa_handler = note_signal};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval often = {{0, 2000}, {0, 2000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0); /* repeats: none can come too early */
    CHECK_EQ(pcn_doorbell_sleep(&bell, pcn_doorbell_arm(&bell), FAMILY_PATIENCE_NS),
             PCN_SLEPT_SIGNAL);
}

/* Both sides in lockstep, again and again: the sleeper arms and looks, the ringer publishes
 * and rings, at the same moment. If the sleeper saw nothing, its ticket must be stale. */
struct litmus {
    _Alignas(64) pcn_atomic32 published;
    _Alignas(64) struct pcn_doorbell bell;
    _Alignas(64) pcn_atomic32 round; /* the ringer waits for it */
    _Alignas(64) pcn_atomic32 rung;  /* the sleeper waits for it */
};
#define LITMUS_ROUNDS 100000u

static void meet(const pcn_atomic32 *cell, uint32_t round)
{
    for (uint32_t look = 0; pcn_load_acquire32(cell) < round; look++) {
        if (look % 1000 == 999)
            sched_yield();
    }
}

static void ring_in_lockstep(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct litmus *litmus = context;
    for (uint32_t round = 1; round <= LITMUS_ROUNDS; round++) {
        meet(&litmus->round, round);
        pcn_store_relaxed32(&litmus->published, round);
        pcn_doorbell_ring(&litmus->bell);
        pcn_store_release32(&litmus->rung, round);
    }
}

static void one_of_the_two_sees_the_other(void)
{
    struct litmus *litmus = family_memory(sizeof *litmus);
    pid_t child = family_fork_raw(NULL, ring_in_lockstep, litmus);
    uint64_t random = 1;
    for (uint32_t round = 1; round <= LITMUS_ROUNDS; round++) {
        pcn_store_release32(&litmus->round, round);
        for (uint64_t turn = check_random(&random) % 64; turn > 0; turn--)
            __asm__ __volatile__("" ::: "memory"); /* meet at ever other offsets */
        uint32_t ticket = pcn_doorbell_arm(&litmus->bell);
        bool seen = pcn_load_relaxed32(&litmus->published) == round;
        meet(&litmus->rung, round);
        CHECK(seen || pcn_load_relaxed32(&litmus->bell.word) != ticket);
        pcn_doorbell_ring(&litmus->bell); /* clears what we announced */
    }
    CHECK(family_wait(child));
}

static void play_the_far_side(struct pcn_arena *arena, void *context)
{
    (void)arena;
    play(context, 1, 20000, false);
}

static void ping_pong_loses_no_wake_up(void)
{
    struct table *table = family_memory(sizeof *table);
    pid_t child = family_fork_raw(NULL, play_the_far_side, table);
    play(table, 0, 20000, false);
    CHECK(family_wait(child));
    CHECK_EQ(table->ball, 40000);
}

static void play_the_far_side_spinning(struct pcn_arena *arena, void *context)
{
    (void)arena;
    play(context, 1, 20000, true);
}

static void ping_pong_with_a_short_spin_loses_no_wake_up(void)
{
    struct table *table = family_memory(sizeof *table);
    pid_t child = family_fork_raw(NULL, play_the_far_side_spinning, table);
    play(table, 0, 20000, true);
    CHECK(family_wait(child));
}

static void work_in_a_process(struct pcn_arena *arena, void *context)
{
    (void)arena;
    work_at(context);
}

static void one_wake_a_ring_leaves_nothing_lying(void)
{
    struct bench *bench = family_memory(sizeof *bench);
    pid_t workers[4];
    for (int i = 0; i < 4; i++)
        workers[i] = family_fork_raw(NULL, work_in_a_process, bench);
    make_bursts(bench, 4000);
    for (int i = 0; i < 4; i++)
        CHECK(family_wait(workers[i]));
}

static void work_and_tell(struct pcn_arena *arena, void *context)
{
    work_in_a_process(arena, context);
    CHECK_EQ(pcn_load_relaxed32(&((struct bench *)context)->closed), 1);
}

static void a_broadcast_wakes_all(void)
{
    for (int round = 0; round < 100; round++) {
        struct bench *bench = family_memory(sizeof *bench);
        pid_t workers[3];
        for (int i = 0; i < 3; i++)
            workers[i] = family_fork_raw(NULL, work_and_tell, bench);
        make_bursts(bench, (uint32_t)round % 3);
        for (int i = 0; i < 3; i++)
            CHECK(family_wait(workers[i]));
    }
}

static const struct check_case cases[] = {
    CHECK_CASE(a_ring_with_nobody_there_wakes_nobody),
    CHECK_CASE(a_ring_between_arm_and_sleep_is_not_slept_through),
    CHECK_CASE(a_second_sleeper_shares_the_first_ones_ticket),
    CHECK_CASE(a_sleep_is_bounded),
    CHECK_CASE(a_signal_ends_a_sleep),
    CHECK_CASE(one_of_the_two_sees_the_other),
    CHECK_CASE(ping_pong_loses_no_wake_up),
    CHECK_CASE(ping_pong_with_a_short_spin_loses_no_wake_up),
    CHECK_CASE(one_wake_a_ring_leaves_nothing_lying),
    CHECK_CASE(a_broadcast_wakes_all),
};
CHECK_MAIN(cases)
