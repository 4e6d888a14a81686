/* Death of a sleeper that swallowed a wake-up, and of a ringer between its two steps. What
 * mends it is the broadcast that follows every death that is noticed (see channel.md). */
#define _GNU_SOURCE
#include "crash.h"
#include "doorbell_traffic.h"

struct scene {
    struct bench bench;
    pid_t worker, maker;
};

static void be_the_worker(struct pcn_arena *arena, void *context)
{
    (void)arena;
    work_at(context);
}

static void be_the_maker(struct pcn_arena *arena, void *context)
{
    (void)arena;
    make_bursts(context, 40);
}

static void open_the_bench(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    memset(&scene->bench, 0, sizeof scene->bench);
    scene->worker = family_fork(arena, be_the_worker, &scene->bench);
    scene->maker = family_fork(arena, be_the_maker, &scene->bench);
}

static void sleep_among_them(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    for (int i = 0; i < 3; i++) {
        uint32_t ticket = pcn_doorbell_arm(&scene->bench.work);
        pcn_doorbell_sleep(&scene->bench.work, ticket, 500000);
    }
    /* An honest end: what it may have been woken for is passed on. */
    pcn_doorbell_broadcast(&scene->bench.work);
}

static void the_others_finish(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    if (died)
        pcn_doorbell_broadcast(&scene->bench.work);
    CHECK(family_wait(scene->maker));
    CHECK(family_wait(scene->worker));
    CHECK_EQ(pcn_load_relaxed32(&scene->bench.items), 0);
    pcn_recover_all(arena);
}

static void a_dead_sleeper_keeps_nobody_asleep(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    const struct crash crash = {.name = "doorbell.sleep",
                                .arrange = open_the_bench,
                                .operate = sleep_among_them,
                                .survive = the_others_finish,
                                .points = 6};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- the ringer ---- */

static void let_one_sleep(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    memset(&scene->bench, 0, sizeof scene->bench);
    scene->worker = family_fork(arena, be_the_worker, &scene->bench);
}

static void wait_for_the_sleeper(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    while (!(pcn_load_relaxed32(&scene->bench.work.word) & 1))
        sched_yield();
}

static void publish_and_ring(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    pcn_add_relaxed32(&scene->bench.items, 1);
    pcn_doorbell_ring(&scene->bench.work);
}

static void the_item_is_not_lost(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct bench *bench = &scene->bench;
    if (died)
        pcn_doorbell_broadcast(&bench->work);
    while (pcn_load_relaxed32(&bench->finished) == 0) {
        uint32_t ticket = pcn_doorbell_arm(&bench->done);
        if (pcn_load_relaxed32(&bench->finished) == 0)
            CHECK(pcn_doorbell_sleep(&bench->done, ticket, FAMILY_PATIENCE_NS) !=
                  PCN_SLEPT_TIMEOUT);
    }
    pcn_store_release32(&bench->closed, 1);
    pcn_doorbell_broadcast(&bench->work);
    CHECK(family_wait(scene->worker));
    pcn_recover_all(arena);
}

static void a_dead_ringer_keeps_nobody_asleep(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct scene *scene = family_memory(sizeof *scene);
    const struct crash crash = {.name = "doorbell.ring",
                                .arrange = let_one_sleep,
                                .prepare = wait_for_the_sleeper,
                                .operate = publish_and_ring,
                                .survive = the_item_is_not_lost,
                                .points = 1};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_dead_sleeper_keeps_nobody_asleep),
    CHECK_CASE(a_dead_ringer_keeps_nobody_asleep),
};
CHECK_MAIN(cases)
