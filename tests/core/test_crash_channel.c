/* Death at each step of a task's journey: each task is in the ring, in a claim or answered,
 * never in none and never in two; and no block is left behind. */
#define _GNU_SOURCE
#include "crash_channel.h"

/* Run a crash test with small and with large payloads, buried at once or later. */
static void crash_all_ways(struct crash crash)
{
    for (int way = 0; way < 4; way++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, way & 1 ? POOL_LARGE : 100, way & 2);
        crash_everywhere(&arena, &crash, scene);
    }
}

/* Two tasks were there; the dead one had to do with the first of them. `answering`: a claim
 * may outlive its answer (death before `done`); the ledger knows. */
static void check_ends(struct pcn_arena *arena, struct scene *scene, bool answering)
{
    struct pcn_remains remains = settle(arena, scene);
    let_another_work(arena, scene);
    collect(arena, scene);
    for (uint64_t task = scene->next - 2; task < scene->next; task++) {
        uint32_t lost = remains.claimed && remains.held.task == task;
        if (lost)
            CHECK_EQ(task, scene->next - 2);
        if (scene->times[task] == 0)
            CHECK_EQ(lost, 1);
        CHECK(scene->times[task] <= 1);
        CHECK(answering || scene->times[task] + lost == 1);
    }
    free_payloads(arena, scene);
}

static void each_task_ends_once(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    check_ends(arena, context, false);
}

static void each_task_ends(struct pcn_arena *arena, void *context, bool died)
{
    check_ends(arena, context, died);
}

static void claim(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_message message;
    CHECK_EQ(pool_claim(arena, &scene->pool, &message), PCN_OK);
}

static void death_while_claiming(void)
{
    crash_all_ways((struct crash){.name = "channel.claim",
                                  .arrange = send_two,
                                  .prepare = sit,
                                  .operate = claim,
                                  .survive = each_task_ends_once,
                                  .points = 9});
}

/* The ring begins with a revoked task. */
static void send_two_behind_a_revoked_one(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pool pool = scene->pool;
    struct pcn_message message;
    const uint64_t number = scene->next + 1;
    uint8_t found;
    send_two(arena, scene);
    CHECK_EQ(pcn_channel_revoke(arena, pool.channel, &number, 1, &found), 1);
    pool.seat = 1;
    pcn_channel_sit(arena, pool.channel, 1);
    CHECK_EQ(pool_claim(arena, &pool, &message), PCN_OK);
    pool_answer(arena, &pool, message.task, message.length);
    pcn_channel_bury(arena, pool.channel, 1);
    send_two(arena, scene);
}

static void death_while_claiming_past_a_revoked_task(void)
{
    crash_all_ways((struct crash){.name = "channel.claim, past a revoked one",
                                  .arrange = send_two_behind_a_revoked_one,
                                  .prepare = sit,
                                  .operate = claim,
                                  .survive = each_task_ends_once,
                                  .points = 9});
}

static void a_claim_counts_from_the_retired_record_on(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 10, false);
    const struct crash crash = {.name = "channel.claim", .prepare = sit, .operate = claim};
    uint32_t unclaimed = 0, unstarted = 0;
    for (uint64_t number = 1; number <= 9; number++) {
        submit(&arena, scene);
        struct crash_run run = {&crash, scene, arena.me, number};
        uint64_t tail = pcn_ring_tail(&scene->pool.channel->tasks);
        CHECK(!family_wait(family_fork_raw(&arena, crash_child, &run)));
        bool retired = pcn_ring_tail(&scene->pool.channel->tasks) != tail;
        struct pcn_remains remains = settle(&arena, scene);
        CHECK_EQ(remains.claimed, retired);
        unclaimed += !remains.claimed;
        unstarted += remains.claimed && !remains.held.started;
        if (retired)
            CHECK_EQ(remains.held.task, scene->next - 1);
        let_another_work(&arena, scene);
        CHECK_EQ(collect(&arena, scene), !retired);
    }
    CHECK(unclaimed >= 4);
    CHECK(unstarted >= 4 && unstarted + unclaimed == 8); /* the last point: it was started */
}

static void sit_and_claim(struct pcn_arena *arena, void *context)
{
    sit(arena, context);
    claim(arena, context);
}

static void answer(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    pool_answer(arena, &scene->pool, scene->next - 2, scene->length);
}

static void death_while_answering(void)
{
    crash_all_ways((struct crash){.name = "channel.answer",
                                  .arrange = send_two,
                                  .prepare = sit_and_claim,
                                  .operate = answer,
                                  .survive = each_task_ends,
                                  .points = 8});
    struct pcn_arena arena; /* a large answer has more steps: a block is made and sent */
    struct scene *scene = make_scene(&arena, POOL_LARGE, false);
    const struct crash crash = {.name = "channel.answer, large",
                                .arrange = send_two,
                                .prepare = sit_and_claim,
                                .operate = answer,
                                .survive = each_task_ends,
                                .points = 17};
    crash_everywhere(&arena, &crash, scene);
}

static void death_while_sitting_down(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 100, false);
    const struct crash crash = {.name = "channel.sit",
                                .arrange = send_two,
                                .operate = sit,
                                .survive = each_task_ends_once,
                                .points = 2};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- a member submits: all or nothing ---- */

static void submit_one(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene->child = arena->me;
    CHECK_EQ(pool_submit(arena, &scene->pool, scene->next, scene->length, NULL), PCN_OK);
}

/* Its payload is not looked at: a large one died with its owner, who in life is the parent of
 * all workers, and whose blocks stay while they live. */
static void the_task_is_there_or_not(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    struct pcn_channel *channel = scene->pool.channel;
    struct pcn_message message;
    uint8_t payload[PCN_INLINE_LIMIT];
    CHECK_VALID(pcn_validate_channel(arena, channel));
    pcn_channel_sit(arena, channel, 0);
    enum pcn_status got = pcn_channel_claim(arena, channel, 0, &message, payload, true);
    CHECK(got == PCN_OK || (got == PCN_EMPTY && died));
    if (got == PCN_OK)
        CHECK_EQ(message.task, scene->next);
    CHECK_EQ(pcn_channel_claim(arena, channel, 0, &message, payload, true), PCN_EMPTY);
    pcn_channel_done(channel, 0);
    CHECK_EQ(pcn_recover_all(arena), 1);
    CHECK_EQ(pool_blocks(arena), 1);
    scene->next++;
    send_two(arena, scene);
    let_another_work(arena, scene);
    CHECK_EQ(collect(arena, scene), 2);
    pcn_recover_all(arena);
    free_payloads(arena, scene);
}

static void death_while_submitting(void)
{
    for (int large = 0; large <= 1; large++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, large ? POOL_LARGE : 100, false);
        const struct crash crash = {.name = "channel.submit",
                                    .operate = submit_one,
                                    .survive = the_task_is_there_or_not,
                                    .points = large ? 12 : 6};
        crash_everywhere(&arena, &crash, scene);
    }
}

/* ---- the parent's thread dies while it revokes ---- */

static void send_four(struct pcn_arena *arena, void *context)
{
    send_two(arena, context);
    send_two(arena, context);
}

static void revoke_the_first_and_the_third(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    const uint64_t numbers[] = {scene->next - 4, scene->next - 2};
    uint8_t found[2] = {0};
    CHECK_EQ(pcn_channel_revoke(arena, scene->pool.channel, numbers, 2, found), 2);
}

static void others_are_answered(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK_VALID(pcn_validate_channel(arena, scene->pool.channel));
    let_another_work(arena, scene);
    collect(arena, scene);
    CHECK(scene->times[scene->next - 4] <= died);
    CHECK(scene->times[scene->next - 2] <= died);
    CHECK_EQ(scene->times[scene->next - 3], 1);
    CHECK_EQ(scene->times[scene->next - 1], 1);
    CHECK(pcn_recover_all(arena) >= 1);
    free_payloads(arena, scene);
}

static void death_while_revoking(void)
{
    for (int large = 0; large <= 1; large++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, large ? POOL_LARGE : 100, false);
        const struct crash crash = {.name = "channel.revoke",
                                    .arrange = send_four,
                                    .operate = revoke_the_first_and_the_third,
                                    .survive = others_are_answered,
                                    .points = 6};
        crash_everywhere(&arena, &crash, scene);
    }
}

/* The four have the same length. */
static void revoke_them_at_their_positions(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_channel *channel = scene->pool.channel;
    uint64_t at[4], length;
    at[0] = pcn_ring_tail(&channel->tasks);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pcn_ring_look(arena, &channel->tasks, at[i], &length), PCN_OK);
        at[i + 1] = pcn_ring_next(at[i], length);
    }
    for (uint32_t i = 0; i <= 2; i += 2)
        CHECK_EQ(pcn_channel_revoke_at(arena, channel, scene->next - 4 + i, at[i], true), PCN_OK);
}

static void death_while_revoking_at_a_position(void)
{
    for (int large = 0; large <= 1; large++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, large ? POOL_LARGE : 100, false);
        const struct crash crash = {.name = "channel.revoke, at a position",
                                    .arrange = send_four,
                                    .operate = revoke_them_at_their_positions,
                                    .survive = others_are_answered,
                                    .points = 9};
        crash_everywhere(&arena, &crash, scene);
    }
}

/* ---- the collector and the burier die (a parent's threads, seen from its children) ---- */

static void have_two_answered(struct pcn_arena *arena, void *context)
{
    send_two(arena, context);
    let_another_work(arena, context);
}

static void collect_in_the_child(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    uint8_t room[PCN_INLINE_LIMIT + 64];
    uint64_t used;
    CHECK_EQ(pcn_channel_collect(arena, scene->pool.channel, room, sizeof room, &used, true),
             PCN_OK);
}

static void both_results_or_none(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    uint32_t count = collect(arena, scene);
    CHECK(count == 0 || (count == 2 && died));
    CHECK(pcn_recover_all(arena) >= 1);
    send_two(arena, scene);
    let_another_work(arena, scene);
    CHECK_EQ(collect(arena, scene), 2);
    free_payloads(arena, scene);
}

static void death_while_collecting(void)
{
    for (int large = 0; large <= 1; large++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, large ? POOL_LARGE : 100, false);
        const struct crash crash = {.name = "channel.collect",
                                    .arrange = have_two_answered,
                                    .operate = collect_in_the_child,
                                    .survive = both_results_or_none,
                                    .points = 5};
        crash_everywhere(&arena, &crash, scene);
    }
}

static void claim_and_die(struct pcn_arena *arena, void *context)
{
    sit_and_claim(arena, context);
    /* So that the place of the spinner is to be freed as well; settle() looks. */
    pcn_store_relaxed64(&((struct scene *)context)->pool.channel->spinner, arena->me);
    raise(SIGKILL);
}

static void have_one_killed(struct pcn_arena *arena, void *context)
{
    send_two(arena, context);
    CHECK(!family_wait(family_fork(arena, claim_and_die, context)));
}

static void bury(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_remains remains = pcn_channel_bury(arena, scene->pool.channel, 0);
    CHECK(remains.claimed);
    CHECK_EQ(remains.held.task, scene->next - 2);
}

static void the_seat_can_be_taken(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    settle(arena, scene);
    let_another_work(arena, scene);
    collect(arena, scene);
    CHECK_EQ(scene->times[scene->next - 1], 1);
    CHECK_EQ(scene->times[scene->next - 2], 0);
    (void)died;
    send_two(arena, scene);
    CHECK(family_wait(family_fork(arena, sit_and_claim, scene)));
    CHECK(pcn_channel_bury(arena, scene->pool.channel, 0).claimed);
    let_another_work(arena, scene);
    CHECK_EQ(collect(arena, scene), 1);
    pcn_recover_all(arena);
    free_payloads(arena, scene);
}

static void death_while_burying(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena, 100, false);
    const struct crash crash = {.name = "channel.bury",
                                .arrange = have_one_killed,
                                .operate = bury,
                                .survive = the_seat_can_be_taken,
                                .points = 5};
    crash_everywhere(&arena, &crash, scene);
}

static const struct check_case cases[] = {
    CHECK_CASE(death_while_claiming),
    CHECK_CASE(death_while_claiming_past_a_revoked_task),
    CHECK_CASE(a_claim_counts_from_the_retired_record_on),
    CHECK_CASE(death_while_answering),
    CHECK_CASE(death_while_sitting_down),
    CHECK_CASE(death_while_submitting),
    CHECK_CASE(death_while_revoking),
    CHECK_CASE(death_while_revoking_at_a_position),
    CHECK_CASE(death_while_collecting),
    CHECK_CASE(death_while_burying),
};
CHECK_MAIN(cases)
