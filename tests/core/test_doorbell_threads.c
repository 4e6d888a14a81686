/* Doorbells between the threads of one process: so that TSan sees both sides. */
#define _GNU_SOURCE
#include <pthread.h>

#include "doorbell_traffic.h"

static struct table table;
static struct bench bench;

static void *play_the_far_side(void *unused)
{
    (void)unused;
    play(&table, 1, 5000, false);
    return NULL;
}

static void ping_pong_loses_no_wake_up(void)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, play_the_far_side, NULL), 0);
    play(&table, 0, 5000, false);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(table.ball, 10000);
}

static void *work_in_a_thread(void *unused)
{
    (void)unused;
    work_at(&bench);
    return NULL;
}

static void one_wake_a_ring_leaves_nothing_lying(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work_in_a_thread, NULL), 0);
    make_bursts(&bench, 2000);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static const struct check_case cases[] = {
    CHECK_CASE(ping_pong_loses_no_wake_up),
    CHECK_CASE(one_wake_a_ring_leaves_nothing_lying),
};
CHECK_MAIN(cases)
