/* Death at each step of setting an event and of waiting for it; others wait meanwhile. */
#define _GNU_SOURCE
#include "crash.h"

#include "event.h"
#include "platform.h"

struct scene {
    struct pcn_event event;
    pid_t waiter;
};

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    return family_memory(sizeof(struct scene));
}

static void wait_for_it(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
    uint32_t ticket = pcn_event_ticket(&scene->event);
    while (pcn_event_sleep(&scene->event, ticket, FAMILY_PATIENCE_NS) != PCN_OK)
        CHECK(pcn_now_ns() < until);
}

static void have_one_wait(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_event_clear(&scene->event);
    scene->waiter = family_fork(arena, wait_for_it, scene);
    while (!(pcn_load_relaxed32(&scene->event.word) & PCN_EVENT_SLEEPERS))
        pcn_yield();
}

/* ---- who sets it dies ---- */

static void set(struct pcn_arena *arena, void *context)
{
    (void)arena;
    pcn_event_set(&((struct scene *)context)->event);
}

static void the_waiter_finds_it_set(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK(pcn_event_is_set(&scene->event));
    CHECK(family_wait(scene->waiter));
    CHECK(pcn_recover_all(arena) <= 2);
}

static void a_setter_that_dies_has_set_it_or_not(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "event.set",
                                .arrange = have_one_wait,
                                .operate = set,
                                .survive = the_waiter_finds_it_set,
                                .points = 1};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- who waits for it dies ---- */

static void wait_a_step(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    pcn_event_sleep(&scene->event, pcn_event_ticket(&scene->event), 1000);
}

static void set_it_for_the_other(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK(!pcn_event_is_set(&scene->event));
    pcn_event_set(&scene->event);
    CHECK(family_wait(scene->waiter));
    CHECK(pcn_recover_all(arena) <= 2);
}

static void a_waiter_that_dies_is_not_missed(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "event.sleep",
                                .arrange = have_one_wait,
                                .operate = wait_a_step,
                                .survive = set_it_for_the_other,
                                .points = 2};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_setter_that_dies_has_set_it_or_not),
    CHECK_CASE(a_waiter_that_dies_is_not_missed),
};
CHECK_MAIN(cases)
