/* The shared lock between processes: exclusion, fairness, and the death of its owner. */
#define _GNU_SOURCE
#include <sched.h>

#include "mutex_traffic.h"

#define ROUNDS 8000
#define PROCESSES 4

static void it_names_its_owner(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pcn_token owner;
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
    CHECK(pcn_mutex_take(&arena, guarded->mutex));
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), arena.me);
    CHECK(!pcn_mutex_take(&arena, guarded->mutex));
    CHECK_EQ(pcn_mutex_try(&arena, guarded->mutex, &owner), PCN_BUSY);
    CHECK(!pcn_mutex_spin(&arena, guarded->mutex)); /* ours: no use in waiting */
    CHECK_EQ(pcn_mutex_release(guarded->mutex, &owner), PCN_OK);
    CHECK_EQ(owner, arena.me);
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
    CHECK_EQ(pcn_mutex_release(guarded->mutex, &owner), PCN_EMPTY);
    CHECK_EQ(pcn_mutex_try(&arena, guarded->mutex, &owner), PCN_OK);
    mutex_release(guarded->mutex);
    CHECK_EQ(pcn_mutex_recover(&arena, guarded->name), PCN_BUSY);
}

static void release_it(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    pcn_token owner = 0;
    CHECK_EQ(pcn_mutex_release(guarded->mutex, &owner), PCN_OK);
    CHECK(owner != arena->me);
}

static void any_process_may_release_it(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    CHECK(pcn_mutex_take(&arena, guarded->mutex));
    CHECK(family_wait(family_fork(&arena, release_it, guarded)));
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
}

static void waiting_ends_in_time(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pid_t owner = fork_owner(&arena, guarded);
    pcn_token dead = 0;
    for (uint64_t span = 0; span <= 16000000; span += 4000000) { /* it starves, or not */
        struct pcn_wait wait = wait_for(span);
        CHECK_EQ(pcn_mutex_acquire(&arena, guarded->mutex, &wait, &dead), PCN_TIMEOUT);
        CHECK(pcn_now_ns() >= wait.deadline);
        CHECK(!(pcn_load_relaxed64(&guarded->mutex->word) & PCN_MUTEX_RESERVED));
    }
    family_kill(owner);
}

static void nothing(int number)
{
    (void)number;
}

static void a_signal_interrupts_it(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, NULL);
    CHECK(pcn_mutex_take(&arena, guarded->mutex));
    pid_t waiter = getpid(), sender = fork();
    if (sender == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            kill(waiter, SIGUSR1);
            usleep(1000);
        }
    }
    pcn_token dead;
    struct pcn_wait wait = wait_for(UINT64_MAX);
    for (int turn = 0; turn < 20; turn++) /* starving as well */
        CHECK_EQ(pcn_mutex_acquire(&arena, guarded->mutex, &wait, &dead), PCN_SIGNAL);
    family_kill(sender);
    CHECK(!(pcn_load_relaxed64(&guarded->mutex->word) & PCN_MUTEX_RESERVED));
}

static void a_dead_ones_lock_is_not_given_away(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pid_t child = fork_owner(&arena, guarded);
    pcn_token owner = pcn_mutex_owner(guarded->mutex), dead = 0;
    CHECK_EQ(pcn_mutex_recover(&arena, guarded->name), PCN_BUSY); /* it lives */
    family_kill(child);
    for (int turn = 0; turn < 3; turn++) {
        CHECK_EQ(mutex_acquire(&arena, guarded->mutex, &dead), PCN_OWNER_DIED);
        CHECK_EQ(dead, owner);
        dead = 0;
        CHECK_EQ(pcn_mutex_try(&arena, guarded->mutex, &dead), PCN_OWNER_DIED);
        CHECK_EQ(dead, owner);
        if (turn == 1) { /* swept, and its slot given to another one: the same answer */
            CHECK_EQ(pcn_recover_all(&arena), 1);
            pcn_token newcomer;
            child = family_fork_staying(&arena, &newcomer);
            CHECK_EQ(pcn_token_slot(newcomer), pcn_token_slot(owner));
        }
    }
    CHECK_EQ(pcn_mutex_recover(&arena, guarded->name), PCN_OK);
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), arena.me);
    CHECK_EQ(pcn_mutex_recover(&arena, guarded->name), PCN_BUSY);
    mutex_release(guarded->mutex);
    CHECK_EQ(mutex_acquire(&arena, guarded->mutex, &dead), PCN_OK);
    mutex_release(guarded->mutex);
    CHECK_EQ(pcn_hold_find(&arena, guarded->name, owner), PCN_NO_RECORD); /* forgotten */
    family_kill(child);
}

static void a_dead_ones_lock_may_be_released(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pid_t child = fork_owner(&arena, guarded);
    pcn_token was = pcn_mutex_owner(guarded->mutex), owner = 0;
    family_kill(child);
    CHECK_EQ(pcn_mutex_release(guarded->mutex, &owner), PCN_OK);
    CHECK_EQ(owner, was);
    CHECK(pcn_mutex_take(&arena, guarded->mutex));
}

static void be_told_and_recover(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    guarded_join(arena, guarded);
    pcn_token dead = 0;
    while (mutex_acquire(arena, guarded->mutex, &dead) == PCN_OWNER_DIED) {
        if (pcn_mutex_recover(arena, guarded->name) == PCN_OK) {
            pcn_add_relaxed32(&guarded->told, 1);
            break;
        }
    }
    guarded->count++;
    mutex_release(guarded->mutex);
}

static void exactly_one_recovers(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    for (uint32_t round = 1; round <= 20; round++) {
        pid_t owner = fork_owner(&arena, guarded);
        pid_t waiters[PROCESSES];
        for (int i = 0; i < PROCESSES; i++)
            waiters[i] = family_fork(&arena, be_told_and_recover, guarded);
        if (round % 3 != 0)
            wait_for_bit(guarded, round % 3 == 1 ? PCN_MUTEX_SLEEPERS : PCN_MUTEX_RESERVED);
        family_kill(owner);
        for (int i = 0; i < PROCESSES; i++)
            CHECK(family_wait(waiters[i]));
        CHECK_EQ(pcn_load_relaxed32(&guarded->told), round);
        CHECK_EQ(guarded->count, round * PROCESSES);
        CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
    }
}

static void count_alone(struct pcn_arena *arena, void *context)
{
    guarded_join(arena, context);
    lock_and_count(arena, context, ROUNDS);
}

static void processes_exclude_each_other(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, count_alone, guarded);
    for (int i = 0; i < PROCESSES; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(guarded->count, PROCESSES * ROUNDS);
    CHECK_EQ(guarded->twin, PROCESSES * ROUNDS);
}

static void hammer(struct pcn_arena *arena, void *context)
{
    guarded_join(arena, context);
    for (;;)
        lock_and_count(arena, context, 1000);
}

/* Each of its takings may be had only by going first: the others never let go for long. */
static void who_starves_goes_first(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, hammer, guarded);
    pcn_token dead;
    for (int round = 0; round < 100; round++) {
        struct pcn_wait wait = wait_for(FAMILY_PATIENCE_NS);
        wait.began = 0; /* it has waited since long ago */
        CHECK_EQ(pcn_mutex_acquire(&arena, guarded->mutex, &wait, &dead), PCN_OK);
        count_once(&arena, guarded);
        mutex_release(guarded->mutex);
    }
    CHECK(pcn_mutex_owner(guarded->mutex) != arena.me);
    struct pcn_wait wait = wait_for(FAMILY_PATIENCE_NS);
    wait.began = 0;
    CHECK_EQ(pcn_mutex_acquire(&arena, guarded->mutex, &wait, &dead), PCN_OK);
    for (int i = 0; i < PROCESSES; i++) /* none of them has it, and dies owning it */
        family_kill(children[i]);
    mutex_release(guarded->mutex);
}

static void reserve_and_sleep(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    pcn_token dead;
    guarded_join(arena, guarded);
    struct pcn_wait wait = {0, UINT64_MAX};
    CHECK_EQ(pcn_mutex_acquire(arena, guarded->mutex, &wait, &dead), PCN_OK);
    mutex_release(guarded->mutex);
}

static void a_reserved_lock_is_for_who_starves(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pcn_token dead;
    CHECK(pcn_mutex_take(&arena, guarded->mutex));
    pid_t starving = family_fork(&arena, reserve_and_sleep, guarded);
    wait_for_bit(guarded, PCN_MUTEX_RESERVED);
    kill(starving, SIGSTOP);
    mutex_release(guarded->mutex);
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
    CHECK(!pcn_mutex_take(&arena, guarded->mutex)); /* who would wait lets it pass */
    CHECK(!pcn_mutex_spin(&arena, guarded->mutex));
    struct pcn_wait wait = wait_for(PCN_STARVING_NS / 2);
    CHECK_EQ(pcn_mutex_acquire(&arena, guarded->mutex, &wait, &dead), PCN_TIMEOUT);
    CHECK_EQ(pcn_mutex_try(&arena, guarded->mutex, &dead), PCN_OK); /* who would not, need not */
    mutex_release(guarded->mutex);
    kill(starving, SIGCONT);
    CHECK(family_wait(starving));
    /* One that never comes: the reservation is void once we starve ourselves. */
    CHECK(pcn_mutex_take(&arena, guarded->mutex));
    starving = family_fork(&arena, reserve_and_sleep, guarded);
    wait_for_bit(guarded, PCN_MUTEX_RESERVED);
    family_kill(starving);
    mutex_release(guarded->mutex);
    CHECK_EQ(mutex_acquire(&arena, guarded->mutex, &dead), PCN_OK);
    CHECK(!(pcn_load_relaxed64(&guarded->mutex->word) & PCN_MUTEX_RESERVED));
}

static void count_for_ever(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    guarded_join(arena, guarded);
    for (;;) {
        pcn_token dead;
        if (mutex_acquire(arena, guarded->mutex, &dead) == PCN_OWNER_DIED) {
            if (pcn_mutex_recover(arena, guarded->name) != PCN_OK)
                continue;
            guarded->twin = guarded->count; /* the repair */
        }
        count_once(arena, guarded);
        mutex_release(guarded->mutex);
        pcn_add_relaxed32(&guarded->progress, 1);
    }
}

/* Killed wherever they are: whoever is left goes on. Progress is the event to wait for. */
static void random_deaths_stop_nobody(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct guarded *guarded = guarded_make(&arena);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, count_for_ever, guarded);
    for (int round = 0; round < 60; round++) {
        uint32_t before = pcn_load_relaxed32(&guarded->progress);
        while (pcn_load_relaxed32(&guarded->progress) - before < 50)
            sched_yield();
        family_kill(children[round % PROCESSES]);
        children[round % PROCESSES] = family_fork(&arena, count_for_ever, guarded);
    }
    for (int i = 0; i < PROCESSES; i++)
        family_kill(children[i]);
    pcn_recover_all(&arena);
    CHECK_VALID(pcn_validate_arena(&arena));
    pcn_token dead;
    enum pcn_status got = mutex_acquire(&arena, guarded->mutex, &dead);
    CHECK(got == PCN_OK ? guarded->count == guarded->twin : got == PCN_OWNER_DIED);
}

static const struct check_case cases[] = {
    CHECK_CASE(it_names_its_owner),
    CHECK_CASE(any_process_may_release_it),
    CHECK_CASE(waiting_ends_in_time),
    CHECK_CASE(a_signal_interrupts_it),
    CHECK_CASE(a_dead_ones_lock_is_not_given_away),
    CHECK_CASE(a_dead_ones_lock_may_be_released),
    CHECK_CASE(exactly_one_recovers),
    CHECK_CASE(processes_exclude_each_other),
    CHECK_CASE(who_starves_goes_first),
    CHECK_CASE(a_reserved_lock_is_for_who_starves),
    CHECK_CASE(random_deaths_stop_nobody),
};
CHECK_MAIN(cases)
