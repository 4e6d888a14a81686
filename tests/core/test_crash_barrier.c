/* Death at each step of coming to a barrier, opening it and breaking it off: those who wait are
 * told, and after a reset it serves again. */
#define _GNU_SOURCE
#include "barrier_family.h"
#include "crash.h"

struct drama {
    struct scene *scene;
    pid_t waiter;
};

static struct drama *make_drama(struct pcn_arena *arena, uint32_t parties)
{
    uint32_t hold;
    struct scene *scene = scene_make(arena, parties, &hold);
    struct drama *drama = family_memory(sizeof *drama);
    drama->scene = scene;
    return drama;
}

static void wait_here(struct pcn_arena *arena, void *context)
{
    wait_once_and_leave(arena, ((struct drama *)context)->scene);
}

static void have_one_wait(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    pcn_barrier_reset(arena, drama->scene->name);
    pcn_store_relaxed32(&drama->scene->opened, 0);
    pcn_store_relaxed32(&drama->scene->broken, 0);
    drama->waiter = family_fork(arena, wait_here, drama);
    wait_until_waiting(arena, drama->scene, 1);
}

static void check_it_serves(struct pcn_arena *arena, struct drama *drama)
{
    struct scene *scene = drama->scene;
    uint32_t parties = pcn_barrier_at(arena, scene->name)->parties;
    pcn_barrier_reset(arena, scene->name);
    pcn_store_relaxed32(&scene->opened, 0);
    pid_t children[4];
    for (uint32_t i = 0; i < parties; i++)
        children[i] = family_fork(arena, wait_here, drama);
    for (uint32_t i = 0; i < parties; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pcn_load_relaxed32(&scene->opened), parties);
    pcn_recover_all(arena);
}

/* ---- one of those that wait dies ---- */

static struct pcn_hold *own; /* in the doomed child */

static void attach(struct pcn_arena *arena, void *context)
{
    own = scene_hold(arena, ((struct drama *)context)->scene);
}

static void come(struct pcn_arena *arena, void *context)
{
    struct scene *scene = ((struct drama *)context)->scene;
    uint32_t index;
    CHECK_EQ(scene_wait(arena, scene, own, false, &index), PCN_OK);
    pcn_add_relaxed32(&scene->opened, 1);
}

static void come_and_act(struct pcn_arena *arena, void *context)
{
    struct scene *scene = ((struct drama *)context)->scene;
    uint32_t index;
    CHECK_EQ(scene_wait(arena, scene, own, true, &index), PCN_OK);
    CHECK_EQ(index, 1);
    pcn_add_relaxed32(&scene->opened, 1);
}

static void the_other_is_told(struct pcn_arena *arena, void *context, bool died)
{
    struct drama *drama = context;
    CHECK(family_wait(drama->waiter));
    uint32_t opened = pcn_load_relaxed32(&drama->scene->opened);
    uint32_t broken = pcn_load_relaxed32(&drama->scene->broken);
    CHECK_EQ(opened + broken, died ? 1 : 2);
    CHECK(died || broken == 0);
    check_it_serves(arena, drama);
}

static void who_comes_last_dies(void)
{
    struct pcn_arena arena;
    struct drama *drama = make_drama(&arena, 2);
    struct crash crash = {.name = "barrier.arrive",
                          .arrange = have_one_wait,
                          .prepare = attach,
                          .operate = come,
                          .survive = the_other_is_told,
                          .points = 4};
    crash_everywhere(&arena, &crash, drama);
    crash.name = "barrier.open";
    crash.operate = come_and_act;
    crash_everywhere(&arena, &crash, drama);
}

static void come_and_withdraw(struct pcn_arena *arena, void *context)
{
    struct scene *scene = ((struct drama *)context)->scene;
    struct pcn_barrier_wait wait = scene_begin(scene, own);
    CHECK_EQ(pcn_barrier_arrive(arena, &wait, false), PCN_EMPTY);
    pcn_barrier_sleep(arena, &wait, 1000);
    pcn_barrier_withdraw(arena, &wait);
}

static void the_other_is_told_or_waits(struct pcn_arena *arena, void *context, bool died)
{
    struct drama *drama = context;
    if (!died) {
        wait_until_waiting(arena, drama->scene, 1);
        pcn_barrier_abort(arena, drama->scene->name);
    }
    CHECK(family_wait(drama->waiter));
    CHECK_EQ(pcn_load_relaxed32(&drama->scene->broken), 1);
    check_it_serves(arena, drama);
}

static void who_waits_and_withdraws_dies(void)
{
    struct pcn_arena arena;
    struct drama *drama = make_drama(&arena, 3);
    const struct crash crash = {.name = "barrier.withdraw",
                                .arrange = have_one_wait,
                                .prepare = attach,
                                .operate = come_and_withdraw,
                                .survive = the_other_is_told_or_waits,
                                .points = 7};
    crash_everywhere(&arena, &crash, drama);
}

/* ---- who breaks it off dies ---- */

static void abort_it(struct pcn_arena *arena, void *context)
{
    pcn_barrier_abort(arena, ((struct drama *)context)->scene->name);
}

static void reset_it(struct pcn_arena *arena, void *context)
{
    pcn_barrier_reset(arena, ((struct drama *)context)->scene->name);
}

static void it_can_be_broken_off_again(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct drama *drama = context;
    pcn_barrier_abort(arena, drama->scene->name);
    CHECK(family_wait(drama->waiter));
    CHECK_EQ(pcn_load_relaxed32(&drama->scene->broken), 1);
    check_it_serves(arena, drama);
}

static void who_breaks_it_off_dies(void)
{
    struct pcn_arena arena;
    struct drama *drama = make_drama(&arena, 2);
    struct crash crash = {.name = "barrier.abort",
                          .arrange = have_one_wait,
                          .operate = abort_it,
                          .survive = it_can_be_broken_off_again,
                          .points = 2};
    crash_everywhere(&arena, &crash, drama);
    crash.name = "barrier.reset";
    crash.operate = reset_it;
    crash_everywhere(&arena, &crash, drama);
}

static const struct check_case cases[] = {
    CHECK_CASE(who_comes_last_dies),
    CHECK_CASE(who_waits_and_withdraws_dies),
    CHECK_CASE(who_breaks_it_off_dies),
};
CHECK_MAIN(cases)
