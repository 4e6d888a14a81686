/* What the crash tests of the queue have in common: a queue, and a process that dies in it. */
#ifndef PCN_TEST_CRASH_QUEUE_H
#define PCN_TEST_CRASH_QUEUE_H

#include "crash.h"
#include "queue_traffic.h"

struct scene {
    struct pcn_share share; /* the survivor's */
    uint64_t next;          /* number of the next item to be put */
    uint64_t tail;          /* before the child's operation */
    uint64_t length;        /* of the items that are put; 0: as the number says */
    uint32_t items;         /* that are put before, or at once */
    pcn_atomic32 got;       /* by the second survivor */
};

static inline struct scene *make_scene(struct pcn_arena *arena, bool joinable)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->share = traffic_make(arena, 0, joinable);
    scene->length = 100;
    return scene;
}

static inline void put_next(const struct pcn_share *share, struct scene *scene)
{
    uint64_t number = scene->next;
    CHECK_EQ(traffic_put_sized(share, number, scene->length ? scene->length
                                                            : traffic_length(number)),
             PCN_OK);
}

/* Take all there is: it must be the numbers from `first` on; how many. */
static inline uint32_t get_all(const struct pcn_share *share, uint64_t first)
{
    uint64_t number;
    uint32_t count = 0;
    while (traffic_get(share, &number) == PCN_OK)
        CHECK_EQ(number, first + count++);
    return count;
}

/* The second survivor: a process that puts and takes as if nothing had happened. */
static inline void put_and_get(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_share share = traffic_share(arena, scene->share.name);
    put_next(&share, scene);
    pcn_store_relaxed32(&scene->got, get_all(&share, scene->next));
    if (share.queue->joinable)
        CHECK_EQ(pcn_queue_done(&share, true), PCN_OK);
}

static inline void another_one_goes_on(struct pcn_arena *arena, struct scene *scene)
{
    CHECK(family_wait(family_fork(arena, put_and_get, scene)));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), 1);
    scene->next++;
    CHECK_VALID(pcn_queue_validate(&scene->share));
}

/* The queue is empty, and the dead are swept: there are no blocks but the segments that it uses. */
static inline void nothing_is_left(const struct pcn_arena *arena, const struct scene *scene)
{
    const struct pcn_queue *queue = scene->share.queue;
    pcn_block_id id = queue->reading ? queue->reading : pcn_load_relaxed32(&queue->first);
    uint32_t segments = pcn_load_relaxed32(&queue->spare) != 0;
    while (id) {
        const struct pcn_segment *segment = (void *)pcn_block_bytes(arena, id);
        segments++;
        id = pcn_load_relaxed32(&segment->next);
    }
    CHECK_EQ(traffic_blocks(arena), segments);
}

static struct pcn_share child; /* the dying process's: made in prepare(), used in operate() */

static inline void take_hold(struct pcn_arena *arena, void *context)
{
    const struct scene *scene = context;
    child = traffic_share(arena, scene->share.name);
}

static inline void put_some(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    for (uint32_t i = 0; i < scene->items; i++, scene->next++)
        put_next(&scene->share, scene);
    scene->tail = pcn_load_relaxed64(&scene->share.queue->tail);
}

static inline void get_one(struct pcn_arena *arena, void *context)
{
    (void)arena;
    const struct scene *scene = context;
    uint64_t number;
    CHECK_EQ(traffic_get(&child, &number), PCN_OK);
    CHECK_EQ(number, scene->next - scene->items);
}

#endif
