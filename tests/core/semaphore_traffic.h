/* Permits, and processes that take and give them, for the semaphore's tests. */
#ifndef PCN_TEST_SEMAPHORE_TRAFFIC_H
#define PCN_TEST_SEMAPHORE_TRAFFIC_H

#include "family.h"
#include "semaphore.h"

struct shop {
    struct pcn_name name;
    struct pcn_semaphore *semaphore;
    pcn_atomic32 inside; /* how many are between taking and giving */
    pcn_atomic32 most;
    pcn_atomic32 progress;
    pcn_atomic32 recovered;
    uint32_t permits;
    struct gate held;
    pcn_token dead;
};

/* This process's record of it; each process has its own. */
static struct pcn_hold *my_hold;

static inline struct shop *shop_make(struct pcn_arena *arena, uint32_t initial,
                                     uint32_t maximum)
{
    struct shop *shop = family_memory(sizeof *shop);
    uint32_t hold;
    CHECK_EQ(pcn_object_create(arena, PCN_SEMAPHORE, &shop->name, &hold), PCN_OK);
    my_hold = pcn_hold_at(arena, hold);
    shop->semaphore = pcn_semaphore_at(arena, shop->name);
    pcn_semaphore_init(shop->semaphore, initial, maximum);
    shop->permits = initial;
    shop->held = gate_make();
    return shop;
}

/* For a child: its own hold, as the binding takes it. */
static inline void shop_join(struct pcn_arena *arena, struct shop *shop)
{
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, shop->name, &hold), PCN_OK);
    my_hold = pcn_hold_at(arena, hold);
}

static inline struct pcn_wait wait_for(uint64_t nanoseconds)
{
    uint64_t now = pcn_now_ns();
    return (struct pcn_wait){now, nanoseconds == UINT64_MAX ? UINT64_MAX : now + nanoseconds};
}

/* Acquire as the binding does; `wait` is NULL: with patience. */
static inline enum pcn_status semaphore_acquire(struct pcn_arena *arena, struct shop *shop,
                                                const struct pcn_wait *wait, pcn_token *dead)
{
    if (!wait && pcn_semaphore_take(shop->semaphore, my_hold, NULL))
        return PCN_OK;
    struct pcn_wait patient = wait_for(FAMILY_PATIENCE_NS);
    if (!wait)
        wait = &patient;
    for (;;) {
        enum pcn_status status = pcn_semaphore_wait(arena, shop->name, wait, dead);
        if (status != PCN_OK || pcn_semaphore_take(shop->semaphore, my_hold, wait))
            return status;
    }
}

static inline void semaphore_release(struct shop *shop)
{
    CHECK_EQ(pcn_semaphore_release(shop->semaphore, my_hold), PCN_OK);
}

static inline void work_once(struct shop *shop)
{
    uint32_t inside = pcn_add_relaxed32(&shop->inside, 1) + 1;
    CHECK(inside <= shop->permits);
    if (inside > pcn_load_relaxed32(&shop->most))
        pcn_store_relaxed32(&shop->most, inside);
    pcn_add_relaxed32(&shop->inside, (uint32_t)-1);
    pcn_add_relaxed32(&shop->progress, 1);
}

static inline void hold_permits(struct pcn_arena *arena, void *context)
{
    struct shop *shop = context;
    shop_join(arena, shop);
    while (pcn_semaphore_try(shop->semaphore, my_hold))
        continue;
    gate_open(&shop->held, 1);
    for (;;)
        pause();
}

/* A child that holds all permits there were when this returns. */
static inline pid_t fork_holder(struct pcn_arena *arena, struct shop *shop)
{
    pid_t child = family_fork(arena, hold_permits, shop);
    gate_wait(&shop->held);
    return child;
}

static inline void wait_for_bit(struct shop *shop, uint64_t bit)
{
    while (!(pcn_load_relaxed64(&shop->semaphore->word) & bit))
        sched_yield();
}

#endif
