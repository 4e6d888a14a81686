/* Death at each step of taking and releasing the lock; others wait for it meanwhile. */
#define _GNU_SOURCE
#include "crash.h"

#include "lock.h"

struct scene {
    struct pcn_lock lock;
    struct gate held;
    pcn_atomic32 got; /* how the other waiter got it; PCN_REFUSED: not yet */
    pid_t waiter;
    pcn_token owner; /* the child that dies */
};

static void wait_for_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_store_relaxed32(&scene->got, pcn_lock_acquire(arena, &scene->lock, arena->me));
    pcn_lock_release(&scene->lock);
}

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->held = gate_make();
    return scene;
}

static void check_free_and_usable(struct pcn_arena *arena, struct scene *scene)
{
    CHECK_EQ(pcn_lock_owner(&scene->lock), 0);
    CHECK_EQ(pcn_lock_acquire(arena, &scene->lock, arena->me), PCN_OK);
    pcn_lock_release(&scene->lock);
}

/* ---- a waiter dies, before and between its sleeps ---- */

static void hold_and_let_one_wait(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_lock_acquire(arena, &scene->lock, arena->me), PCN_OK);
    scene->waiter = family_fork(arena, wait_for_it, scene);
}

static void ask_for_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    /* The holder lets go only after our death: a waiter that gets through is one that
     * asked without waiting. */
    if (scene->got == PCN_TIMEOUT)
        CHECK_EQ(pcn_lock_try(arena, &scene->lock, arena->me), PCN_BUSY);
    else
        pcn_lock_acquire(arena, &scene->lock, arena->me);
}

static void let_the_other_have_it(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK_EQ(pcn_lock_owner(&scene->lock), arena->me); /* the dead took nothing */
    pcn_store_relaxed32(&scene->got, PCN_REFUSED);
    pcn_lock_release(&scene->lock);
    CHECK(family_wait(scene->waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), PCN_OK);
    check_free_and_usable(arena, scene);
    CHECK(pcn_recover_all(arena) <= 2);
}

static void a_dead_waiter_is_not_missed(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    struct crash crash = {.name = "lock.acquire",
                          .arrange = hold_and_let_one_wait,
                          .operate = ask_for_it,
                          .survive = let_the_other_have_it};
    for (uint64_t number = 1; number <= 3; number++) { /* its third sleep: it did wake between */
        crash.arrange(&arena, scene);
        struct crash_run run = {&crash, scene, arena.me, number};
        CHECK(!family_wait(family_fork_raw(&arena, crash_child, &run)));
        crash.survive(&arena, scene, true);
    }
    crash.arrange(&arena, scene);
    struct crash_run run = {&crash, scene, arena.me, 1};
    pcn_store_relaxed32(&scene->got, PCN_TIMEOUT);
    CHECK(family_wait(family_fork_raw(&arena, crash_child, &run)));
    crash.survive(&arena, scene, false);
}

/* ---- the owner dies while it releases ---- */

static void wait_once_it_is_held(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    gate_wait(&scene->held);
    wait_for_it(arena, scene);
}

static void let_one_wait_later(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene->waiter = family_fork(arena, wait_once_it_is_held, scene);
}

static void take_until_somebody_sleeps(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    CHECK_EQ(pcn_lock_acquire(arena, &scene->lock, arena->me), PCN_OK);
    gate_open(&scene->held, 1);
    while (!(pcn_load_relaxed64(&scene->lock.word) & 1))
        sched_yield();
}

static void release(struct pcn_arena *arena, void *context)
{
    (void)arena;
    pcn_lock_release(&((struct scene *)context)->lock);
}

static void the_waiter_gets_it_unharmed(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK(family_wait(scene->waiter));
    CHECK_EQ(pcn_load_relaxed32(&scene->got), PCN_OK); /* it was released, not orphaned */
    check_free_and_usable(arena, scene);
}

static void a_death_after_the_release_leaves_it_free(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "lock.release",
                                .arrange = let_one_wait_later,
                                .prepare = take_until_somebody_sleeps,
                                .operate = release,
                                .survive = the_waiter_gets_it_unharmed,
                                .points = 1};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_dead_waiter_is_not_missed),
    CHECK_CASE(a_death_after_the_release_leaves_it_free),
};
CHECK_MAIN(cases)
