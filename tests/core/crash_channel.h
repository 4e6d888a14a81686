/* A pool in which the worker of seat 0 dies, and what its parent and others do then: shared
 * by the channel's crash tests. */
#ifndef PCN_TEST_CRASH_CHANNEL_H
#define PCN_TEST_CRASH_CHANNEL_H

#include "crash.h"

#include "channel_family.h"

#define WORKERS 2

struct scene {
    struct pool pool; /* seat 0: the one that dies */
    uint64_t length;  /* of payloads */
    bool settle_late; /* another worker goes on before the dead one is buried */
    pcn_token child;
    uint64_t next; /* number of the next task */
    uint8_t times[4096];
    struct gate go;
    pid_t helper, collector;
};

static inline struct scene *make_scene(struct pcn_arena *arena, uint64_t length, bool settle_late)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->pool = pool_make(arena, WORKERS, POOL_TASKS);
    scene->length = length;
    scene->settle_late = settle_late;
    return scene;
}

static inline void submit(struct pcn_arena *arena, struct scene *scene)
{
    CHECK_EQ(pool_submit(arena, &scene->pool, scene->next++, scene->length, NULL), PCN_OK);
}

static inline void sit(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene->child = arena->me;
    pcn_channel_sit(arena, scene->pool.channel, 0);
}

/* A sound worker in seat 1: answers all there is, and leaves. */
static inline void answer_all(struct pcn_arena *arena, void *context)
{
    struct pool pool = ((struct scene *)context)->pool;
    struct pcn_message message;
    pool.seat = 1;
    pcn_channel_sit(arena, pool.channel, 1);
    while (pool_claim(arena, &pool, &message) == PCN_OK)
        pool_answer(arena, &pool, message.task, message.length);
}

static inline void let_another_work(struct pcn_arena *arena, struct scene *scene)
{
    CHECK(family_wait(family_fork(arena, answer_all, scene)));
    CHECK(!pcn_channel_bury(arena, scene->pool.channel, 1).claimed);
}

static inline uint32_t collect(struct pcn_arena *arena, struct scene *scene)
{
    uint32_t count = pool_collect(arena, &scene->pool, scene->times, sizeof scene->times);
    CHECK_VALID(pcn_validate_channel(arena, scene->pool.channel));
    return count;
}

/* What the parent does after a death: collect all, bury, reclaim, sweep. */
static inline struct pcn_remains settle(struct pcn_arena *arena, struct scene *scene)
{
    CHECK_VALID(pcn_validate_channel(arena, scene->pool.channel));
    if (scene->settle_late)
        let_another_work(arena, scene);
    collect(arena, scene);
    struct pcn_remains remains = pcn_channel_bury(arena, scene->pool.channel, 0);
    pcn_block_reclaim(arena, scene->child);
    CHECK(pcn_recover_all(arena) >= 1);
    CHECK_EQ(pcn_load_relaxed64(&scene->pool.channel->spinner), 0);
    return remains;
}

/* Free the parent's own blocks: those of the submitted payloads. */
static inline void free_payloads(struct pcn_arena *arena, struct scene *scene)
{
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->blocks_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_block *block = pcn_block_at(arena, index);
        if (pcn_load_relaxed32(&block->state) == PCN_BLOCK_OWNED &&
            pcn_load_relaxed64(&block->owner) == arena->me && index + 1 != scene->pool.block)
            CHECK_EQ(pcn_block_free(arena, index + 1, false, true), PCN_OK);
    }
    CHECK_EQ(pool_blocks(arena), 1); /* the channel's; else somebody forgot one */
}

static inline void send_two(struct pcn_arena *arena, void *context)
{
    submit(arena, context);
    submit(arena, context);
}

#endif
