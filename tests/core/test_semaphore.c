/* Permits between processes: how many, who waits, and the death of who holds some. */
#define _GNU_SOURCE
#include <sched.h>

#include "semaphore_traffic.h"

#define PROCESSES 4
#define ROUNDS 4000

static void it_counts(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 2, 3);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 2);
    CHECK(pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    CHECK(pcn_semaphore_try(shop->semaphore, my_hold));
    CHECK_EQ(pcn_load_relaxed32(&my_hold->held), 2);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 0);
    CHECK(!pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    CHECK(!pcn_semaphore_try(shop->semaphore, my_hold));
    CHECK_EQ(pcn_load_relaxed32(&my_hold->held), 2);
    semaphore_release(shop);
    semaphore_release(shop);
    CHECK_EQ(pcn_load_relaxed32(&my_hold->held), 0);
    CHECK_EQ(pcn_load_relaxed32(&shop->semaphore->signals), 0);
    semaphore_release(shop); /* one that nobody held */
    CHECK_EQ(pcn_load_relaxed32(&shop->semaphore->signals), 1);
    CHECK_EQ(pcn_semaphore_release(shop->semaphore, my_hold), PCN_FULL);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 3);
}

static void it_counts_to_its_most(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, PCN_SEMAPHORE_MOST, PCN_SEMAPHORE_MOST);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), PCN_SEMAPHORE_MOST);
    CHECK_EQ(pcn_semaphore_release(shop->semaphore, my_hold), PCN_FULL);
    CHECK(pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), PCN_SEMAPHORE_MOST - 1);
    semaphore_release(shop);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), PCN_SEMAPHORE_MOST);
}

static void waiting_ends_in_time(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 0, 1);
    pcn_token dead = 0;
    for (uint64_t span = 0; span <= 16000000; span += 4000000) {
        struct pcn_wait wait = wait_for(span);
        CHECK_EQ(semaphore_acquire(&arena, shop, &wait, &dead), PCN_TIMEOUT);
        CHECK(pcn_now_ns() >= wait.deadline);
        CHECK(!(pcn_load_relaxed64(&shop->semaphore->word) & PCN_MUTEX_RESERVED));
    }
}

static void nothing(int number)
{
    (void)number;
}

static void a_signal_interrupts_it(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 0, 1);
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR1, &action, NULL);
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
        CHECK_EQ(semaphore_acquire(&arena, shop, &wait, &dead), PCN_SIGNAL);
    family_kill(sender);
}

static void take_and_give(struct pcn_arena *arena, void *context)
{
    struct shop *shop = context;
    pcn_token dead;
    shop_join(arena, shop);
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EQ(semaphore_acquire(arena, shop, NULL, &dead), PCN_OK);
        work_once(shop);
        semaphore_release(shop);
    }
    CHECK_EQ(pcn_load_relaxed32(&my_hold->held), 0);
}

static void no_more_are_inside_than_permits(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 2, 2);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, take_and_give, shop);
    for (int i = 0; i < PROCESSES; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pcn_load_relaxed32(&shop->progress), PROCESSES * ROUNDS);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 2);
    CHECK_EQ(pcn_load_relaxed32(&shop->semaphore->signals), 0);
}

/* ---- as a signal: one side gives, the other takes ---- */

static void take_only(struct pcn_arena *arena, void *context)
{
    struct shop *shop = context;
    pcn_token dead;
    shop_join(arena, shop);
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EQ(semaphore_acquire(arena, shop, NULL, &dead), PCN_OK);
        pcn_add_relaxed32(&shop->progress, 1);
    }
}

static void every_signal_arrives(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 0, PCN_SEMAPHORE_MOST);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, take_only, shop);
    for (uint32_t round = 0; round < PROCESSES * ROUNDS; round++) {
        semaphore_release(shop);
        if (round % 64 == 0) /* let them run dry, and go to sleep */
            while (pcn_load_relaxed32(&shop->progress) <= round)
                sched_yield();
    }
    for (int i = 0; i < PROCESSES; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 0);
}

static void a_dead_taker_of_signals_is_nobodys_loss(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 0, PCN_SEMAPHORE_MOST);
    semaphore_release(shop);
    family_kill(fork_holder(&arena, shop));
    struct pcn_wait wait = wait_for(2 * PCN_PATIENCE_NS);
    pcn_token dead;
    CHECK_EQ(semaphore_acquire(&arena, shop, &wait, &dead), PCN_TIMEOUT);
    CHECK_EQ(pcn_semaphore_recover(&arena, shop->name), 0);
}

/* ---- the death of a holder ---- */

static void a_dead_ones_permits_are_told_and_given_back_once(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 3, 3);
    CHECK(pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    pid_t child = fork_holder(&arena, shop); /* has two */
    pcn_token dead = 0, owner = 0;
    for (uint32_t at = pcn_hold_next(&arena, shop->name, 0); at != PCN_NO_RECORD;
         at = pcn_hold_next(&arena, shop->name, at + 1)) {
        if (pcn_load_relaxed64(&pcn_hold_at(&arena, at)->owner) != arena.me)
            owner = pcn_load_relaxed64(&pcn_hold_at(&arena, at)->owner);
    }
    struct pcn_wait brief = wait_for(1000000);
    CHECK_EQ(semaphore_acquire(&arena, shop, &brief, &dead), PCN_TIMEOUT); /* it lives */
    CHECK_EQ(pcn_semaphore_recover(&arena, shop->name), 0);
    family_kill(child);
    for (int turn = 0; turn < 2; turn++) {
        CHECK_EQ(semaphore_acquire(&arena, shop, NULL, &dead), PCN_OWNER_DIED);
        CHECK_EQ(dead, owner);
        brief = wait_for(1000000); /* shorter than a step: told at its end */
        CHECK_EQ(semaphore_acquire(&arena, shop, &brief, &dead), PCN_OWNER_DIED);
        if (turn == 0)
            CHECK_EQ(pcn_recover_all(&arena), 1); /* swept: the same answer */
    }
    CHECK_EQ(pcn_semaphore_recover(&arena, shop->name), 2);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 2);
    CHECK_EQ(pcn_semaphore_recover(&arena, shop->name), 0);
    CHECK_EQ(pcn_object_at(&arena, shop->name.object)->remains, 0);
    CHECK(pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    CHECK(pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    brief = wait_for(2 * PCN_PATIENCE_NS);
    CHECK_EQ(semaphore_acquire(&arena, shop, &brief, &dead), PCN_TIMEOUT); /* all ours */
}

static void one_that_died_without_permits_is_not_told(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 1, 1);
    CHECK(pcn_semaphore_take(shop->semaphore, my_hold, NULL));
    family_kill(fork_holder(&arena, shop)); /* it got none */
    struct pcn_wait wait = wait_for(2 * PCN_PATIENCE_NS);
    pcn_token dead;
    CHECK_EQ(semaphore_acquire(&arena, shop, &wait, &dead), PCN_TIMEOUT);
}

static void be_told_and_recover(struct pcn_arena *arena, void *context)
{
    struct shop *shop = context;
    pcn_token dead;
    shop_join(arena, shop);
    while (semaphore_acquire(arena, shop, NULL, &dead) == PCN_OWNER_DIED)
        pcn_add_relaxed32(&shop->recovered, pcn_semaphore_recover(arena, shop->name));
    work_once(shop);
    semaphore_release(shop);
}

static void whoever_recovers_they_are_given_back_once(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 3, 3);
    for (uint32_t round = 1; round <= 20; round++) {
        pid_t holder = fork_holder(&arena, shop);
        pid_t waiters[PROCESSES];
        for (int i = 0; i < PROCESSES; i++)
            waiters[i] = family_fork(&arena, be_told_and_recover, shop);
        if (round % 3 != 0)
            wait_for_bit(shop, round % 3 == 1 ? PCN_MUTEX_SLEEPERS : PCN_MUTEX_RESERVED);
        family_kill(holder);
        for (int i = 0; i < PROCESSES; i++)
            CHECK(family_wait(waiters[i]));
        CHECK_EQ(pcn_load_relaxed32(&shop->recovered), round * 3);
        CHECK_EQ(pcn_semaphore_value(shop->semaphore), 3);
    }
}

/* ---- fairness ---- */

static void hammer(struct pcn_arena *arena, void *context)
{
    struct shop *shop = context;
    pcn_token dead;
    shop_join(arena, shop);
    for (;;) {
        CHECK_EQ(semaphore_acquire(arena, shop, NULL, &dead), PCN_OK);
        semaphore_release(shop);
    }
}

static void who_starves_goes_first(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 1, 1);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, hammer, shop);
    pcn_token dead;
    for (int round = 0; round < 100; round++) {
        struct pcn_wait wait = wait_for(FAMILY_PATIENCE_NS);
        wait.began = 0; /* it has waited since long ago */
        CHECK_EQ(semaphore_acquire(&arena, shop, &wait, &dead), PCN_OK);
        semaphore_release(shop);
    }
    for (int i = 0; i < PROCESSES; i++)
        family_kill(children[i]);
}

static void work_for_ever(struct pcn_arena *arena, void *context)
{
    struct shop *shop = context;
    pcn_token dead;
    shop_join(arena, shop);
    for (;;) {
        if (semaphore_acquire(arena, shop, NULL, &dead) == PCN_OWNER_DIED) {
            pcn_semaphore_recover(arena, shop->name);
            continue;
        }
        pcn_add_relaxed32(&shop->progress, 1);
        semaphore_release(shop);
    }
}

/* Killed wherever they are: no permit is lost or doubled. */
static void random_deaths_cost_no_permit(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct shop *shop = shop_make(&arena, 2, 2);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        children[i] = family_fork(&arena, work_for_ever, shop);
    for (int round = 0; round < 60; round++) {
        uint32_t before = pcn_load_relaxed32(&shop->progress);
        while (pcn_load_relaxed32(&shop->progress) - before < 50)
            sched_yield();
        family_kill(children[round % PROCESSES]);
        children[round % PROCESSES] = family_fork(&arena, work_for_ever, shop);
    }
    for (int i = 0; i < PROCESSES; i++)
        family_kill(children[i]);
    pcn_recover_all(&arena);
    CHECK_VALID(pcn_validate_arena(&arena));
    pcn_semaphore_recover(&arena, shop->name);
    CHECK_EQ(pcn_semaphore_value(shop->semaphore), 2);
}

static const struct check_case cases[] = {
    CHECK_CASE(it_counts),
    CHECK_CASE(it_counts_to_its_most),
    CHECK_CASE(waiting_ends_in_time),
    CHECK_CASE(a_signal_interrupts_it),
    CHECK_CASE(no_more_are_inside_than_permits),
    CHECK_CASE(every_signal_arrives),
    CHECK_CASE(a_dead_taker_of_signals_is_nobodys_loss),
    CHECK_CASE(a_dead_ones_permits_are_told_and_given_back_once),
    CHECK_CASE(one_that_died_without_permits_is_not_told),
    CHECK_CASE(whoever_recovers_they_are_given_back_once),
    CHECK_CASE(who_starves_goes_first),
    CHECK_CASE(random_deaths_cost_no_permit),
};
CHECK_MAIN(cases)
