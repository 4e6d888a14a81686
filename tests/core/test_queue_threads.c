/* A queue under several threads at once: no loss, no doubling, each producer's order. */
#define _GNU_SOURCE
#include <pthread.h>

#include "queue_traffic.h"

#define PRODUCERS 3
#define CONSUMERS 3
#define ITEMS 6000u

static struct pcn_arena arena;
static struct pcn_share share;
static uint32_t numbers[PRODUCERS] = {0, 1, 2};
static pcn_atomic32 seen[PRODUCERS][ITEMS];

static void *produce(void *context)
{
    uint64_t producer = *(uint32_t *)context;
    for (uint64_t i = 0; i < ITEMS; i++) {
        enum pcn_status status;
        while ((status = traffic_put(&share, producer << 32 | i)) == PCN_FULL)
            CHECK(pcn_queue_wait_room(&share, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
        CHECK_EQ(status, PCN_OK);
    }
    return NULL;
}

static void *consume(void *unused)
{
    (void)unused;
    uint64_t last[PRODUCERS] = {0};
    for (;;) {
        uint64_t number;
        enum pcn_status status;
        while ((status = traffic_get(&share, &number)) == PCN_EMPTY)
            CHECK(pcn_queue_wait_items(&share, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
        if (status == PCN_CLOSED)
            return NULL;
        uint32_t producer = (uint32_t)(number >> 32), item = (uint32_t)number;
        CHECK(item >= last[producer]);
        last[producer] = item;
        pcn_add_relaxed32(&seen[producer][item], 1);
        if (share.queue->joinable)
            CHECK_EQ(pcn_queue_done(&share, true), PCN_OK);
    }
}

static void run(uint64_t limit, bool joinable)
{
    family_make(&arena);
    share = traffic_make(&arena, limit, joinable);
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        CHECK_EQ(pthread_create(&consumers[i], NULL, consume, NULL), 0);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_EQ(pthread_create(&producers[i], NULL, produce, &numbers[i]), 0);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_EQ(pthread_join(producers[i], NULL), 0);
    while (joinable && pcn_queue_unfinished(share.queue) != 0)
        CHECK(pcn_queue_wait_done(&share, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
    pcn_queue_shut(&share);
    for (int i = 0; i < CONSUMERS; i++)
        CHECK_EQ(pthread_join(consumers[i], NULL), 0);
    for (int producer = 0; producer < PRODUCERS; producer++)
        for (uint32_t i = 0; i < ITEMS; i++)
            CHECK_EQ(pcn_load_relaxed32(&seen[producer][i]), 1);
    CHECK_VALID(pcn_queue_validate(&share));
    CHECK_VALID(pcn_validate_arena(&arena));
}

static void many_threads_lose_double_and_reorder_nothing(void)
{
    run(0, false);
}

static void nor_where_there_is_little_room(void)
{
    run(3, false);
}

static void nor_where_each_item_is_marked_done(void)
{
    run(100, true);
}

static const struct check_case cases[] = {
    CHECK_CASE(many_threads_lose_double_and_reorder_nothing),
    CHECK_CASE(nor_where_there_is_little_room),
    CHECK_CASE(nor_where_each_item_is_marked_done),
};
CHECK_MAIN(cases)
