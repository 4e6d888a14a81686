/* A condition, its lock, and processes that wait at it: for the tests of both kinds. */
#ifndef PCN_TEST_CONDITION_FAMILY_H
#define PCN_TEST_CONDITION_FAMILY_H

#include "condition.h"
#include "family.h"
#include "platform.h"

struct scene {
    struct pcn_name name;
    struct pcn_mutex lock;
    struct gate go;
    pcn_atomic32 entered;  /* waiters that have stood at the condition */
    pcn_atomic32 notified; /* waits that ended with a notification */
    pcn_atomic32 timed_out;
    pcn_atomic32 order; /* the numbers of those notified, a digit each, the last one first */
};

static inline struct scene *scene_make(struct pcn_arena *arena, uint32_t *hold)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->go = gate_make();
    CHECK_EQ(pcn_object_create(arena, PCN_CONDITION, &scene->name, hold), PCN_OK);
    return scene;
}

static inline void scene_lock(struct pcn_arena *arena, struct scene *scene)
{
    pcn_token dead;
    struct pcn_wait patience = {pcn_now_ns(), pcn_now_ns() + FAMILY_PATIENCE_NS};
    enum pcn_status status = pcn_mutex_acquire(arena, &scene->lock, &patience, &dead);
    while (status == PCN_OWNER_DIED) { /* what it guards here is whole */
        pcn_token owner = dead;
        if (pcn_mutex_owner(&scene->lock) == dead)
            pcn_mutex_release(&scene->lock, &owner);
        status = pcn_mutex_acquire(arena, &scene->lock, &patience, &dead);
    }
    CHECK_EQ(status, PCN_OK);
}

static inline void scene_unlock(struct scene *scene)
{
    pcn_token owner;
    CHECK_EQ(pcn_mutex_release(&scene->lock, &owner), PCN_OK);
}

/* One wait, from taking the lock to releasing it; whether it was notified. */
static inline bool scene_wait(struct pcn_arena *arena, struct scene *scene, struct pcn_hold *hold,
                              uint64_t timeout_ns)
{
    struct pcn_condition_wait wait = {.name = scene->name,
                                      .hold = hold,
                                      .spot = pcn_spot_mine(arena, 1),
                                      .lock = &scene->lock};
    uint64_t until = pcn_now_ns() + timeout_ns;
    scene_lock(arena, scene);
    pcn_condition_enter(arena, &wait, 0, "here");
    pcn_add_relaxed32(&scene->entered, 1);
    scene_unlock(scene);
    enum pcn_status status = PCN_TIMEOUT;
    while (status != PCN_OK && pcn_now_ns() < until)
        status = pcn_condition_sleep(arena, &wait, timeout_ns);
    bool notified = pcn_condition_leave(&wait);
    scene_lock(arena, scene);
    if (notified)
        pcn_condition_finish(arena, &wait, true, true);
    pcn_add_relaxed32(notified ? &scene->notified : &scene->timed_out, 1);
    scene_unlock(scene);
    return notified;
}

static inline struct pcn_hold *scene_hold(struct pcn_arena *arena, const struct scene *scene)
{
    uint32_t hold;
    CHECK_EQ(pcn_object_hold(arena, scene->name, &hold), PCN_OK);
    return pcn_hold_at(arena, hold);
}

static inline void wait_to_be_notified(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK(scene_wait(arena, scene, scene_hold(arena, scene), FAMILY_PATIENCE_NS));
}

static inline void wait_with_lock_until_entered(struct pcn_arena *arena, struct scene *scene,
                                                uint32_t entered)
{
    while (pcn_load_relaxed32(&scene->entered) != entered)
        pcn_yield();
    scene_lock(arena, scene); /* so they have let go of it */
    scene_unlock(scene);
}

static inline uint64_t scene_notify(struct pcn_arena *arena, struct scene *scene, uint64_t most)
{
    scene_lock(arena, scene);
    uint64_t notified = pcn_condition_notify(arena, scene->name, most);
    scene_unlock(scene);
    return notified;
}

#endif
