/* Work that is only right under mutual exclusion, and waiting for a mutex, for its tests. */
#ifndef PCN_TEST_MUTEX_TRAFFIC_H
#define PCN_TEST_MUTEX_TRAFFIC_H

#include "family.h"
#include "mutex.h"

struct guarded {
    struct pcn_name name;
    struct pcn_mutex *mutex;
    uint64_t count; /* plain on purpose: TSan and the totals tell of a broken mutex */
    uint64_t twin;
    pcn_atomic32 progress;
    pcn_atomic32 told; /* of a death */
    struct gate held;
};

/* A mutex in the arena, and what it guards. */
static inline struct guarded *guarded_make(struct pcn_arena *arena)
{
    struct guarded *guarded = family_memory(sizeof *guarded);
    uint32_t hold;
    CHECK_EQ(pcn_object_create(arena, PCN_MUTEX, &guarded->name, &hold), PCN_OK);
    guarded->mutex = pcn_mutex_at(arena, guarded->name);
    guarded->held = gate_make();
    return guarded;
}

/* For a child: its own hold, as the binding takes it. */
static inline void guarded_join(struct pcn_arena *arena, struct guarded *guarded)
{
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, guarded->name, &hold), PCN_OK);
}

static inline struct pcn_wait wait_for(uint64_t nanoseconds)
{
    uint64_t now = pcn_now_ns();
    return (struct pcn_wait){now, nanoseconds == UINT64_MAX ? UINT64_MAX : now + nanoseconds};
}

/* Acquire as the binding does: the fast way, a spin, then sleep. */
static inline enum pcn_status mutex_acquire(struct pcn_arena *arena, struct pcn_mutex *mutex,
                                            pcn_token *dead)
{
    if (pcn_mutex_take(arena, mutex) || pcn_mutex_spin(arena, mutex))
        return PCN_OK;
    struct pcn_wait wait = wait_for(FAMILY_PATIENCE_NS);
    return pcn_mutex_acquire(arena, mutex, &wait, dead);
}

static inline void mutex_release(struct pcn_mutex *mutex)
{
    pcn_token owner;
    CHECK_EQ(pcn_mutex_release(mutex, &owner), PCN_OK);
}

static inline void count_once(struct pcn_arena *arena, struct guarded *guarded)
{
    CHECK_EQ(guarded->count, guarded->twin);
    guarded->count++;
    guarded->twin++;
    CHECK_EQ(pcn_mutex_owner(guarded->mutex), arena->me);
}

static inline void lock_and_count(struct pcn_arena *arena, struct guarded *guarded, int rounds)
{
    pcn_token dead;
    for (int round = 0; round < rounds; round++) {
        CHECK_EQ(mutex_acquire(arena, guarded->mutex, &dead), PCN_OK);
        count_once(arena, guarded);
        mutex_release(guarded->mutex);
    }
}

static inline void try_and_count(struct pcn_arena *arena, struct guarded *guarded, int rounds)
{
    pcn_token dead;
    for (int round = 0; round < rounds; round++) {
        enum pcn_status got = pcn_mutex_try(arena, guarded->mutex, &dead);
        if (got == PCN_BUSY)
            continue;
        CHECK_EQ(got, PCN_OK);
        count_once(arena, guarded);
        mutex_release(guarded->mutex);
        pcn_add_relaxed32(&guarded->progress, 1);
    }
}

static inline void hold_it(struct pcn_arena *arena, void *context)
{
    struct guarded *guarded = context;
    guarded_join(arena, guarded);
    CHECK(pcn_mutex_take(arena, guarded->mutex));
    gate_open(&guarded->held, 1);
    for (;;)
        pause();
}

/* A child that owns it when this returns. */
static inline pid_t fork_owner(struct pcn_arena *arena, struct guarded *guarded)
{
    pid_t child = family_fork(arena, hold_it, guarded);
    gate_wait(&guarded->held);
    return child;
}

/* Until somebody has announced that it sleeps, or starves. */
static inline void wait_for_bit(struct guarded *guarded, uint64_t bit)
{
    while (!(pcn_load_relaxed64(&guarded->mutex->word) & bit))
        sched_yield();
}

#endif
