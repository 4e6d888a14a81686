/* The robust lock between processes: exclusion, and the death of its owner. */
#define _GNU_SOURCE
#include <pthread.h>

#include "lock_traffic.h"

#define ROUNDS 8000
#define PROCESSES 4

static void a_lock_names_its_owner(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    CHECK_EQ(pcn_lock_owner(&guarded->lock), 0);
    CHECK_EQ(pcn_lock_acquire(&arena, &guarded->lock, arena.me), PCN_OK);
    CHECK_EQ(pcn_lock_owner(&guarded->lock), arena.me);
    CHECK_EQ(pcn_lock_try(&arena, &guarded->lock, arena.me), PCN_BUSY);
    pcn_lock_release(&guarded->lock);
    CHECK_EQ(pcn_lock_owner(&guarded->lock), 0);
    CHECK_EQ(pcn_lock_try(&arena, &guarded->lock, arena.me), PCN_OK);
    pcn_lock_release(&guarded->lock);
}

static void hold_until_killed(struct pcn_arena *arena, void *context)
{
    struct {
        struct guarded *guarded;
        struct gate held;
    } *holding = context;
    CHECK_EQ(pcn_lock_acquire(arena, &holding->guarded->lock, arena->me), PCN_OK);
    gate_open(&holding->held, 1);
    for (;;)
        pause();
}

/* A child that holds the lock when this returns. */
static pid_t fork_holder(struct pcn_arena *arena, struct guarded *guarded)
{
    struct {
        struct guarded *guarded;
        struct gate held;
    } holding = {guarded, gate_make()};
    pid_t child = family_fork(arena, hold_until_killed, &holding);
    gate_wait(&holding.held);
    return child;
}

static void a_living_owner_is_respected_by_try(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    pid_t holder = fork_holder(&arena, guarded);
    CHECK_EQ(pcn_lock_try(&arena, &guarded->lock, arena.me), PCN_BUSY);
    CHECK(pcn_lock_owner(&guarded->lock) != arena.me);
    family_kill(holder);
}

static void a_death_is_reported_once(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    family_kill(fork_holder(&arena, guarded));
    CHECK_EQ(pcn_lock_acquire(&arena, &guarded->lock, arena.me), PCN_OWNER_DIED);
    CHECK_EQ(pcn_lock_owner(&guarded->lock), arena.me);
    pcn_lock_release(&guarded->lock);
    CHECK_EQ(pcn_lock_acquire(&arena, &guarded->lock, arena.me), PCN_OK);
    pcn_lock_release(&guarded->lock);
    family_kill(fork_holder(&arena, guarded));
    CHECK_EQ(pcn_lock_try(&arena, &guarded->lock, arena.me), PCN_OWNER_DIED);
    pcn_lock_release(&guarded->lock);
    CHECK_EQ(pcn_lock_try(&arena, &guarded->lock, arena.me), PCN_OK);
}

static void a_swept_owner_is_reported_as_dead(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    family_kill(fork_holder(&arena, guarded));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    pcn_token newcomer; /* sits in the dead one's slot, and is not taken for it */
    pid_t child = family_fork_staying(&arena, &newcomer);
    CHECK_EQ(pcn_token_slot(newcomer), pcn_token_slot(pcn_lock_owner(&guarded->lock)));
    CHECK_EQ(pcn_lock_acquire(&arena, &guarded->lock, arena.me), PCN_OWNER_DIED);
    family_kill(child);
}

static void wait_and_tell(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    enum pcn_status got = pcn_lock_acquire(arena, &guarded->lock, arena->me);
    CHECK(got == PCN_OK || got == PCN_OWNER_DIED);
    if (got == PCN_OWNER_DIED)
        pcn_add_relaxed32(&guarded->inherited, 1);
    guarded->count++;
    pcn_lock_release(&guarded->lock);
}

static void exactly_one_waiter_inherits(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    for (uint32_t round = 1; round <= 20; round++) {
        pid_t holder = fork_holder(&arena, guarded);
        pid_t waiters[PROCESSES];
        for (int i = 0; i < PROCESSES; i++)
            waiters[i] = family_fork(&arena, wait_and_tell, guarded);
        /* In every other round one has announced its sleep before the death. */
        while (round % 2 && !(pcn_load_relaxed64(&guarded->lock.word) & 1))
            sched_yield();
        family_kill(holder);
        for (int i = 0; i < PROCESSES; i++)
            CHECK(family_wait(waiters[i]));
        CHECK_EQ(pcn_load_relaxed32(&guarded->inherited), round);
        CHECK_EQ(guarded->count, round * PROCESSES);
        CHECK_EQ(pcn_lock_owner(&guarded->lock), 0);
    }
}

static void count_alone(struct pcn_arena *arena, void *context)
{
    lock_and_count(arena, context, ROUNDS);
}

static void processes_exclude_each_other(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, count_alone, guarded);
    for (int i = 0; i < PROCESSES; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(guarded->count, PROCESSES * ROUNDS);
    CHECK_EQ(guarded->twin, PROCESSES * ROUNDS);
}

struct share {
    struct pcn_arena *arena;
    struct guarded *guarded;
};

static void *count_in_a_thread(void *context)
{
    struct share *share = context;
    lock_and_count(share->arena, share->guarded, ROUNDS / 2);
    return NULL;
}

static void count_with_threads(struct pcn_arena *arena, void *context)
{
    struct share share = {arena, context};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, count_in_a_thread, &share), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void threads_of_several_processes_exclude_each_other(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    pid_t children[2];
    for (int i = 0; i < 2; i++)
        children[i] = family_fork(&arena, count_with_threads, guarded);
    for (int i = 0; i < 2; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(guarded->count, 2 * ROUNDS);
}

static void count_for_ever(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    for (;;) {
        enum pcn_status got = pcn_lock_acquire(arena, &guarded->lock, arena->me);
        if (got == PCN_OWNER_DIED)
            guarded->twin = guarded->count; /* the repair */
        CHECK_EQ(guarded->count, guarded->twin);
        guarded->count++;
        guarded->twin++;
        pcn_lock_release(&guarded->lock);
        pcn_add_relaxed32(&guarded->tries_won, 1);
    }
}

/* Killed wherever they are: whoever is left goes on. Progress is the event to wait for. */
static void random_deaths_stop_nobody(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = family_memory(sizeof *guarded);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, count_for_ever, guarded);
    for (int round = 0; round < 60; round++) {
        uint32_t before = pcn_load_relaxed32(&guarded->tries_won);
        while (pcn_load_relaxed32(&guarded->tries_won) - before < 50)
            sched_yield();
        family_kill(children[round % PROCESSES]);
        children[round % PROCESSES] = family_fork(&arena, count_for_ever, guarded);
    }
    for (int i = 0; i < PROCESSES; i++)
        family_kill(children[i]);
    enum pcn_status got = pcn_lock_acquire(&arena, &guarded->lock, arena.me);
    CHECK(got == PCN_OK || got == PCN_OWNER_DIED);
    CHECK(got == PCN_OWNER_DIED || guarded->count == guarded->twin);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_lock_names_its_owner),
    CHECK_CASE(a_living_owner_is_respected_by_try),
    CHECK_CASE(a_death_is_reported_once),
    CHECK_CASE(a_swept_owner_is_reported_as_dead),
    CHECK_CASE(exactly_one_waiter_inherits),
    CHECK_CASE(processes_exclude_each_other),
    CHECK_CASE(threads_of_several_processes_exclude_each_other),
    CHECK_CASE(random_deaths_stop_nobody),
};
CHECK_MAIN(cases)
