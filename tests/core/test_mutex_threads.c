/* The shared lock between the threads of one process: so that TSan sees both sides. */
#define _GNU_SOURCE
#include <pthread.h>

#include "mutex_traffic.h"

#define ROUNDS 8000
#define THREADS 4

static struct pcn_arena arena;
static struct guarded *guarded;

static void *count_in_a_thread(void *unused)
{
    (void)unused;
    lock_and_count(&arena, guarded, ROUNDS);
    return NULL;
}

static void *try_in_a_thread(void *unused)
{
    (void)unused;
    try_and_count(&arena, guarded, ROUNDS);
    return NULL;
}

/* One that starves from the start takes it in between. */
static void *starve_in_a_thread(void *unused)
{
    (void)unused;
    pcn_token dead;
    for (int round = 0; round < ROUNDS; round++) {
        struct pcn_wait wait = {0, UINT64_MAX};
        CHECK_EQ(pcn_mutex_acquire(&arena, guarded->mutex, &wait, &dead), PCN_OK);
        count_once(&arena, guarded);
        mutex_release(guarded->mutex);
    }
    return NULL;
}

static void run_threads(void *(*first)(void *), void *(*second)(void *))
{
    family_make(&arena);
    guarded = guarded_make(&arena);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, i % 2 ? second : first, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(guarded->count, guarded->twin);
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), 0);
}

static void threads_exclude_each_other(void)
{
    run_threads(count_in_a_thread, count_in_a_thread);
    CHECK_EQ(guarded->count, THREADS * ROUNDS);
}

static void who_starves_excludes_the_others(void)
{
    run_threads(count_in_a_thread, starve_in_a_thread);
    CHECK_EQ(guarded->count, THREADS * ROUNDS);
}

static void tries_and_waits_exclude_each_other(void)
{
    run_threads(starve_in_a_thread, try_in_a_thread);
    CHECK_EQ(guarded->count, THREADS / 2 * ROUNDS + pcn_load_relaxed32(&guarded->progress));
}

static const struct check_case cases[] = {
    CHECK_CASE(threads_exclude_each_other),
    CHECK_CASE(who_starves_excludes_the_others),
    CHECK_CASE(tries_and_waits_exclude_each_other),
};
CHECK_MAIN(cases)
