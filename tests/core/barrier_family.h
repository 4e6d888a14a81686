/* A barrier, and processes that wait at it: for the tests of both kinds. */
#ifndef PCN_TEST_BARRIER_FAMILY_H
#define PCN_TEST_BARRIER_FAMILY_H

#include "barrier.h"
#include "family.h"
#include "platform.h"

struct scene {
    struct pcn_name name;
    struct gate gate;
    pcn_atomic32 opened;
    pcn_atomic32 broken;
    pcn_atomic32 acted;
    uint64_t written[8]; /* plain on purpose: the barrier orders it */
};

static inline struct scene *scene_make(struct pcn_arena *arena, uint32_t parties, uint32_t *hold)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->gate = gate_make();
    CHECK_EQ(pcn_object_create(arena, PCN_BARRIER, &scene->name, hold), PCN_OK);
    pcn_barrier_init(arena, pcn_barrier_at(arena, scene->name), parties);
    return scene;
}

static inline struct pcn_hold *scene_hold(struct pcn_arena *arena, const struct scene *scene)
{
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &hold), PCN_OK);
    return pcn_hold_at(arena, hold);
}

static inline struct pcn_barrier_wait scene_begin(const struct scene *scene, struct pcn_hold *hold)
{
    return (struct pcn_barrier_wait){.name = scene->name, .hold = hold};
}

/* One wait, as callers do it. PCN_OK, PCN_CLOSED. */
static inline enum pcn_status scene_wait(struct pcn_arena *arena, const struct scene *scene,
                                         struct pcn_hold *hold, bool acts, uint32_t *index)
{
    struct pcn_barrier_wait wait = scene_begin(scene, hold);
    uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
    enum pcn_status status;
    while ((status = pcn_barrier_arrive(arena, &wait, acts)) == PCN_BUSY) {
        while ((status = pcn_barrier_sleep(arena, &wait, FAMILY_PATIENCE_NS)) == PCN_BUSY)
            CHECK(pcn_now_ns() < until);
    }
    if (status == PCN_OWNER_DIED) {
        pcn_barrier_break(arena, &wait);
        status = PCN_CLOSED;
    }
    if (status == PCN_CLOSED)
        return status;
    *index = wait.index;
    if (status == PCN_OK) {
        status = acts ? pcn_barrier_open(arena, &wait) : PCN_OK;
    } else {
        pcn_barrier_spin(arena, &wait);
        while ((status = pcn_barrier_look(arena, &wait)) != PCN_OK && status != PCN_CLOSED) {
            pcn_barrier_sleep(arena, &wait, FAMILY_PATIENCE_NS);
            CHECK(pcn_now_ns() < until);
        }
    }
    pcn_barrier_depart(&wait);
    return status;
}

static inline void wait_once(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint32_t index;
    enum pcn_status status = scene_wait(arena, scene, scene_hold(arena, scene), false, &index);
    pcn_add_relaxed32(status == PCN_OK ? &scene->opened : &scene->broken, 1);
}

static inline void wait_once_and_leave(struct pcn_arena *arena, void *context)
{
    wait_once(arena, context);
    pcn_store_relaxed32(&pcn_slot_at(arena, pcn_token_slot(arena->me))->leaving, 1);
}

static inline void wait_until_waiting(const struct pcn_arena *arena, const struct scene *scene,
                                      uint32_t count)
{
    while (pcn_barrier_waiting(pcn_barrier_at(arena, scene->name)) != count)
        pcn_yield();
}

#endif
