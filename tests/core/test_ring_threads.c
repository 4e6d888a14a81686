/* The byte ring between the threads of one process: so that TSan sees both sides. */
#define _GNU_SOURCE
#include <pthread.h>

#include "ring_traffic.h"

static struct pcn_arena arena;
static struct traffic traffic;
static uint32_t numbers[TRAFFIC_PRODUCERS] = {0, 1, 2};

static void *be_a_producer(void *number)
{
    produce(&arena, &traffic, *(uint32_t *)number);
    return NULL;
}

static void *be_a_consumer(void *unused)
{
    (void)unused;
    consume(&arena, &traffic);
    return NULL;
}

static void many_threads_lose_double_and_reorder_nothing(void)
{
    family_make(&arena);
    traffic_init(&arena, &traffic);
    pthread_t producers[TRAFFIC_PRODUCERS], consumers[TRAFFIC_CONSUMERS];
    for (int i = 0; i < TRAFFIC_CONSUMERS; i++)
        CHECK_EQ(pthread_create(&consumers[i], NULL, be_a_consumer, NULL), 0);
    for (int i = 0; i < TRAFFIC_PRODUCERS; i++)
        CHECK_EQ(pthread_create(&producers[i], NULL, be_a_producer, &numbers[i]), 0);
    for (int i = 0; i < TRAFFIC_PRODUCERS; i++)
        CHECK_EQ(pthread_join(producers[i], NULL), 0);
    for (int i = 0; i < TRAFFIC_CONSUMERS; i++)
        CHECK_EQ(pthread_join(consumers[i], NULL), 0);
    check_conservation(&arena, &traffic);
}

static const struct check_case cases[] = {
    CHECK_CASE(many_threads_lose_double_and_reorder_nothing),
};
CHECK_MAIN(cases)
