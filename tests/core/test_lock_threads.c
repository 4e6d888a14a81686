/* The robust lock between the threads of one process: so that TSan sees both sides. */
#define _GNU_SOURCE
#include <pthread.h>

#include "lock_traffic.h"

#define ROUNDS 8000
#define THREADS 4

static struct pcn_arena arena;
static struct guarded guarded;

static void *count_in_a_thread(void *unused)
{
    (void)unused;
    lock_and_count(&arena, &guarded, ROUNDS);
    return NULL;
}

static void *try_in_a_thread(void *unused)
{
    (void)unused;
    try_and_count(&arena, &guarded, ROUNDS);
    return NULL;
}

static void run_threads(void *(*first)(void *), void *(*second)(void *))
{
    family_make(&arena);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, i % 2 ? second : first, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(guarded.count, guarded.twin);
    CHECK_EQ(pcn_lock_owner(&guarded.lock), 0);
}

static void threads_exclude_each_other(void)
{
    run_threads(count_in_a_thread, count_in_a_thread);
    CHECK_EQ(guarded.count, THREADS * ROUNDS);
}

static void tries_and_waits_exclude_each_other(void)
{
    run_threads(count_in_a_thread, try_in_a_thread);
    CHECK_EQ(guarded.count, THREADS / 2 * ROUNDS + pcn_load_relaxed32(&guarded.tries_won));
}

static void *join_and_hold(void *unused)
{
    (void)unused;
    struct pcn_arena mine = arena;
    CHECK_EQ(pcn_owner_join(&mine, 0), PCN_OK);
    CHECK_EQ(pcn_lock_acquire(&mine, &guarded.lock, mine.me), PCN_OK);
    guarded.count = 7;
    return NULL;
}

/* A second membership of the same process is as alive as the process. */
static void a_membership_lives_as_long_as_the_process(void)
{
    family_make(&arena);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, join_and_hold, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(guarded.count, 7);
    CHECK(pcn_lock_owner(&guarded.lock) != arena.me);
    CHECK_EQ(pcn_lock_try(&arena, &guarded.lock, arena.me), PCN_BUSY);
}

static const struct check_case cases[] = {
    CHECK_CASE(threads_exclude_each_other),
    CHECK_CASE(tries_and_waits_exclude_each_other),
    CHECK_CASE(a_membership_lives_as_long_as_the_process),
};
CHECK_MAIN(cases)
