/* Death at each step of waiting at a condition, of notifying, and of inheriting what a dead
 * waiter bore: a notification is lost to none of them. */
#define _GNU_SOURCE
#include "condition_family.h"
#include "crash.h"

struct drama {
    struct scene *scene;
    pid_t waiter;          /* comes second; must not miss what the doomed one did not use */
    pid_t notifier;
    pid_t stopped;         /* comes first of all, if anybody does */
    pcn_atomic32 stood;    /* who has come so far */
    pcn_atomic32 alone;    /* the doomed one died before it could come */
    pcn_atomic32 got_lock; /* the doomed one used its notification */
};

static struct drama *make_drama(struct pcn_arena *arena)
{
    uint32_t hold;
    struct scene *scene = scene_make(arena, &hold);
    struct drama *drama = family_memory(sizeof *drama);
    drama->scene = scene;
    return drama;
}

static void begin(struct drama *drama)
{
    pcn_store_relaxed32(&drama->scene->entered, 0);
    pcn_store_relaxed32(&drama->scene->notified, 0);
    pcn_store_relaxed32(&drama->stood, 0);
    pcn_store_relaxed32(&drama->alone, 0);
    pcn_store_relaxed32(&drama->got_lock, 0);
    drama->stopped = 0;
}

static void wait_until_stood(const struct drama *drama, uint32_t stood)
{
    while (pcn_load_relaxed32(&drama->stood) < stood)
        pcn_yield();
}

static void enter(struct pcn_arena *arena, struct drama *drama, struct pcn_condition_wait *wait)
{
    *wait = (struct pcn_condition_wait){.name = drama->scene->name,
                                        .hold = scene_hold(arena, drama->scene),
                                        .spot = pcn_spot_mine(arena, 1)};
    scene_lock(arena, drama->scene);
    pcn_condition_enter(arena, wait, 0, "here");
    pcn_add_relaxed32(&drama->stood, 1);
    scene_unlock(drama->scene);
}

static void wait_on(struct pcn_arena *arena, struct drama *drama, struct pcn_condition_wait *wait)
{
    uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
    while (pcn_condition_sleep(arena, wait, FAMILY_PATIENCE_NS) != PCN_OK)
        CHECK(pcn_now_ns() < until);
    CHECK(pcn_condition_leave(wait));
    scene_lock(arena, drama->scene);
}

static void wait_second(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    uint32_t before = drama->stopped ? 2 : 1;
    while (pcn_load_relaxed32(&drama->stood) < before && !pcn_load_relaxed32(&drama->alone))
        pcn_yield();
    struct pcn_condition_wait wait;
    enter(arena, drama, &wait);
    while (drama->stopped && !pcn_load_relaxed32(&drama->got_lock) &&
           !pcn_load_relaxed32(&drama->alone))
        pcn_yield(); /* the doomed one is to be the first heir */
    wait_on(arena, drama, &wait);
    pcn_condition_finish(arena, &wait, true, true);
    scene_unlock(drama->scene);
}

/* ---- a waiter dies ---- */

static void notify_one(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    while (pcn_load_relaxed32(&drama->stood) < 2 - pcn_load_relaxed32(&drama->alone))
        pcn_yield();
    CHECK_EQ(scene_notify(arena, drama->scene, 1), 1);
}

static void have_others_ready(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    begin(drama);
    drama->waiter = family_fork(arena, wait_second, drama);
    drama->notifier = family_fork(arena, notify_one, drama);
}

static void wait_and_use_it(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    struct pcn_condition_wait wait;
    enter(arena, drama, &wait);
    wait_on(arena, drama, &wait);
    pcn_store_relaxed32(&drama->got_lock, 1);
    pcn_condition_finish(arena, &wait, true, true);
    scene_unlock(drama->scene);
}

static void the_other_misses_nothing(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct drama *drama = context;
    if (pcn_load_relaxed32(&drama->stood) == 0)
        pcn_store_relaxed32(&drama->alone, 1);
    CHECK(family_wait(drama->notifier));
    if (pcn_load_relaxed32(&drama->got_lock)) /* then the other one has yet to be notified */
        scene_notify(arena, drama->scene, 1);
    CHECK(family_wait(drama->waiter));
    pcn_recover_all(arena);
    CHECK_EQ(scene_notify(arena, drama->scene, PCN_CONDITION_ALL), 0);
}

static void a_waiter_that_dies_takes_nothing_with_it(void)
{
    struct pcn_arena arena;
    struct drama *drama = make_drama(&arena);
    const struct crash crash = {.name = "condition.wait",
                                .arrange = have_others_ready,
                                .operate = wait_and_use_it,
                                .survive = the_other_misses_nothing,
                                .points = 12};
    crash_everywhere(&arena, &crash, drama);
}

/* ---- a notifier dies ---- */

static void have_two_wait(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    begin(drama);
    pcn_store_relaxed32(&drama->alone, 1);
    drama->waiter = family_fork(arena, wait_second, drama);
    drama->notifier = family_fork(arena, wait_second, drama);
    wait_until_stood(drama, 2);
}

static void notify_both(struct pcn_arena *arena, void *context)
{
    CHECK_EQ(scene_notify(arena, ((struct drama *)context)->scene, 2), 2);
}

static void notify_all(struct pcn_arena *arena, void *context)
{
    CHECK_EQ(scene_notify(arena, ((struct drama *)context)->scene, PCN_CONDITION_ALL), 2);
}

static void whoever_was_not_is_notified_now(struct pcn_arena *arena, void *context, bool died)
{
    struct drama *drama = context;
    uint64_t missing = scene_notify(arena, drama->scene, PCN_CONDITION_ALL);
    CHECK(died ? missing <= 2 : missing == 0);
    CHECK(family_wait(drama->waiter));
    CHECK(family_wait(drama->notifier));
    pcn_recover_all(arena);
}

static void a_notifier_that_dies_has_notified_or_not(void)
{
    struct pcn_arena arena;
    struct drama *drama = make_drama(&arena);
    struct crash crash = {.name = "condition.notify",
                          .arrange = have_two_wait,
                          .operate = notify_both,
                          .survive = whoever_was_not_is_notified_now,
                          .points = 6};
    crash_everywhere(&arena, &crash, drama);
    crash.name = "condition.notify_all";
    crash.operate = notify_all;
    crash_everywhere(&arena, &crash, drama);
}

/* ---- an heir dies ---- */

static void stand_and_stop(struct pcn_arena *arena, void *context)
{
    struct pcn_condition_wait wait;
    enter(arena, context, &wait);
    raise(SIGSTOP);
}

static void notify_the_stopped_one_and_kill_it(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    wait_until_stood(drama, 3);
    CHECK_EQ(scene_notify(arena, drama->scene, 1), 1);
    kill(drama->stopped, SIGKILL);
}

static void have_one_stopped_and_others_ready(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    begin(drama);
    drama->stopped = family_fork(arena, stand_and_stop, drama);
    int status;
    CHECK_EQ(waitpid(drama->stopped, &status, WUNTRACED), drama->stopped);
    CHECK(WIFSTOPPED(status));
    drama->waiter = family_fork(arena, wait_second, drama);
    drama->notifier = family_fork(arena, notify_the_stopped_one_and_kill_it, drama);
}

static struct pcn_condition_wait standing; /* in the doomed child */

static void stand(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    enter(arena, drama, &standing);
    wait_until_stood(drama, 3);
}

static void inherit_or_wait(struct pcn_arena *arena, void *context)
{
    struct drama *drama = context;
    wait_on(arena, drama, &standing);
    pcn_store_relaxed32(&drama->got_lock, 1);
    pcn_condition_finish(arena, &standing, true, true);
    scene_unlock(drama->scene);
}

static void the_notification_comes_down_to_the_other(struct pcn_arena *arena, void *context,
                                                     bool died)
{
    struct drama *drama = context;
    pcn_store_relaxed32(&drama->alone, 1);
    the_other_misses_nothing(arena, context, died);
    CHECK(!family_wait(drama->stopped));
}

static void an_heir_that_dies_is_inherited_from(void)
{
    struct pcn_arena arena;
    struct drama *drama = make_drama(&arena);
    const struct crash crash = {.name = "condition.inherit",
                                .arrange = have_one_stopped_and_others_ready,
                                .prepare = stand,
                                .operate = inherit_or_wait,
                                .survive = the_notification_comes_down_to_the_other,
                                .points = 8};
    crash_everywhere(&arena, &crash, drama);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_waiter_that_dies_takes_nothing_with_it),
    CHECK_CASE(a_notifier_that_dies_has_notified_or_not),
    CHECK_CASE(an_heir_that_dies_is_inherited_from),
};
CHECK_MAIN(cases)
