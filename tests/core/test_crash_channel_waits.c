/* Death of a worker that waits: for work, spinning or asleep, or for room for its answer.
 * Another one waits beside it, and must not be left asleep. */
#define _GNU_SOURCE
#include "crash_channel.h"

/* ---- the spinner, or a sleeper, dies; another worker waits too ---- */

static void work_in_seat_1(struct pcn_arena *arena, void *context)
{
    struct pool pool = ((struct scene *)context)->pool;
    pool.seat = 1;
    pool_work(arena, &pool);
}

static void let_another_wait(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene->helper = family_fork(arena, work_in_seat_1, scene);
    while (!(pcn_load_relaxed32(&scene->pool.channel->work.word) & 1))
        sched_yield(); /* until it has announced its sleep */
}

static void wait_for_work(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    for (int i = 0; i < 4; i++)
        pcn_channel_wait_work(arena, scene->pool.channel, 0, 200000);
}

static void the_other_one_works(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    (void)died;
    submit(arena, scene); /* perhaps unheard: the dead one may be thought to spin */
    CHECK(!pcn_channel_bury(arena, scene->pool.channel, 0).claimed);
    CHECK(pcn_load_relaxed64(&scene->pool.channel->spinner) != scene->child);
    uint32_t count = collect(arena, scene);
    while (count < 1) {
        CHECK(pcn_channel_wait_news(scene->pool.channel, 0, FAMILY_PATIENCE_NS) !=
              PCN_TIMEOUT);
        count += collect(arena, scene);
    }
    family_kill(scene->helper);
    pcn_channel_bury(arena, scene->pool.channel, 1);
    pcn_recover_all(arena);
    free_payloads(arena, scene);
}

static void death_while_waiting_for_work(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 100, false);
    const struct crash crash = {.name = "channel.wait_work",
                                .arrange = let_another_wait,
                                .prepare = sit,
                                .operate = wait_for_work,
                                .survive = the_other_one_works,
                                .points = 4};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- one on the bench dies; and who calls one from the bench ---- */

static void sit_on_the_bench(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_channel_duty(scene->pool.channel, 0, PCN_BENCH);
    sit(arena, scene);
}

/* A record is there when it looks: it rings for another one. */
static void wait_on_the_bench(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_message message;
    wait_for_work(arena, scene);
    CHECK_EQ(pool_claim(arena, &scene->pool, &message), PCN_EMPTY);
}

static void death_on_the_bench(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 100, false);
    const struct crash crash = {.name = "channel.wait_work on the bench",
                                .arrange = let_another_wait,
                                .prepare = sit_on_the_bench,
                                .operate = wait_on_the_bench,
                                .survive = the_other_one_works,
                                .points = 8};
    crash_everywhere(&arena, &crash, scene);
}

static void let_one_sit_on_the_bench(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pcn_channel_duty(scene->pool.channel, 1, PCN_BENCH);
    scene->helper = family_fork(arena, work_in_seat_1, scene);
    while (!(pcn_load_relaxed32(&scene->pool.channel->bench.word) & 1))
        sched_yield(); /* until it has announced its sleep */
}

static void call_it(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene->child = arena->me;
    pcn_channel_duty(scene->pool.channel, 1, PCN_SERVE);
}

static void who_is_called_again_works(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    CHECK_VALID(pcn_validate_channel(arena, scene->pool.channel));
    call_it(arena, scene); /* as who takes over does */
    the_other_one_works(arena, scene, died);
}

static void death_while_calling_one_from_the_bench(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 100, false);
    const struct crash crash = {.name = "channel.duty",
                                .arrange = let_one_sit_on_the_bench,
                                .operate = call_it,
                                .survive = who_is_called_again_works,
                                .points = 1};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- a worker that waits for room in the result ring dies; another one waits too ---- */

static void answer_in_seat_1(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pool pool = scene->pool;
    pool.seat = 1;
    pcn_channel_sit(arena, pool.channel, 1);
    gate_wait(&scene->go);
    pool_answer(arena, &pool, scene->next + 1, scene->length);
}

/* The parent's collector: begins once somebody waits for room, ends with the other's answer. */
static void collect_all(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    while (!(pcn_load_relaxed32(&scene->pool.channel->results.drained.word) & 1))
        sched_yield();
    while (scene->times[scene->next + 1] == 0) {
        if (collect(arena, scene) == 0)
            CHECK(pcn_channel_wait_news(scene->pool.channel, 0, 2 * FAMILY_PATIENCE_NS) !=
                  PCN_TIMEOUT);
    }
}

static void fill_the_results(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint8_t payload[1000] = {0};
    pcn_doorbell_broadcast(&scene->pool.channel->results.drained); /* nobody waits yet */
    memset(payload, (int)scene->next + 1, sizeof payload);
    struct pcn_message message = {.task = scene->next, .kind = 2};
    const struct pcn_part part = {payload, sizeof payload};
    while (pcn_channel_answer(arena, scene->pool.channel, &message, &part, 1, true) == PCN_OK)
        continue;
    scene->go = gate_make();
    scene->helper = family_fork(arena, answer_in_seat_1, scene);
    scene->collector = family_fork(arena, collect_all, scene);
}

static void wait_for_room(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    gate_open(&scene->go, 1);
    CHECK(pcn_channel_wait_room(scene->pool.channel, scene->length, FAMILY_PATIENCE_NS) !=
          PCN_TIMEOUT);
}

static void the_other_one_answers(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    pcn_channel_bury(arena, scene->pool.channel, 0); /* passes a swallowed wake-up on */
    CHECK(family_wait(scene->helper));
    CHECK(family_wait(scene->collector));
    pcn_channel_bury(arena, scene->pool.channel, 1);
    CHECK_EQ(collect(arena, scene), 0);
    CHECK_EQ(scene->times[scene->next + 1], 1);
    CHECK(pcn_recover_all(arena) >= 1);
    free_payloads(arena, scene);
    scene->next += 2;
}

static void death_while_waiting_for_room(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 1000, false);
    const struct crash crash = {.name = "channel.wait_room",
                                .arrange = fill_the_results,
                                .prepare = sit,
                                .operate = wait_for_room,
                                .survive = the_other_one_answers};
    for (int round = 0; round < 8; round++) /* who is woken first is the kernel's choice */
        crash_everywhere(&arena, &crash, scene);
}

/* ---- a worker dies while it rings for the parent's collector ---- */

/* As a thread of the parent does: results are collected by others, too. */
static void wait_for_news(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct scene *scene = context;
    CHECK(pcn_channel_wait_news(scene->pool.channel, 0, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
    if (!pcn_ring_has_records(&scene->pool.channel->results)) /* woken by the burial */
        CHECK(pcn_channel_wait_news(scene->pool.channel, 0, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
}

static void have_somebody_wait_for_news(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    send_two(arena, scene);
    scene->collector = family_fork(arena, wait_for_news, scene);
    while (!(pcn_load_relaxed32(&scene->pool.channel->news.word) & 1))
        sched_yield();
}

static void sit_and_claim(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_message message;
    sit(arena, scene);
    CHECK_EQ(pool_claim(arena, &scene->pool, &message), PCN_OK);
}

static void answer(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pool_answer(arena, &scene->pool, scene->next - 2, scene->length);
}

static void the_collector_hears_the_next_answer(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    collect(arena, scene);
    pcn_channel_bury(arena, scene->pool.channel, 0);
    let_another_work(arena, scene); /* whose ring must not go unheard */
    CHECK(family_wait(scene->collector));
    collect(arena, scene);
    CHECK_EQ(scene->times[scene->next - 1], 1);
    pcn_block_reclaim(arena, scene->child);
    pcn_recover_all(arena);
    free_payloads(arena, scene);
}

static void death_while_ringing_for_news(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 100, false);
    const struct crash crash = {.name = "channel.answer, awaited",
                                .arrange = have_somebody_wait_for_news,
                                .prepare = sit_and_claim,
                                .operate = answer,
                                .survive = the_collector_hears_the_next_answer,
                                .points = 8};
    for (int round = 0; round < 4; round++)
        crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(death_while_waiting_for_work),
    CHECK_CASE(death_on_the_bench),
    CHECK_CASE(death_while_calling_one_from_the_bench),
    CHECK_CASE(death_while_waiting_for_room),
    CHECK_CASE(death_while_ringing_for_news),
};
CHECK_MAIN(cases)
