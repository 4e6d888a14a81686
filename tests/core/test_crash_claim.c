/* Death at each step of a chunk's journey, and of what the parent takes from it: each item is
 * delivered, or died with its worker, or was never run; and no block is left behind. */
#define _GNU_SOURCE
#include "crash.h"

#include "claim_family.h"


static const struct pcn_ring *tasks_of(const struct chunk *chunk)
{
    return &chunk->pool.channel->tasks;
}

/* ---- the worker dies at work ---- */

static void submit(struct pcn_arena *arena, void *context)
{
    chunk_submit(arena, context, 2, 13);
}

static void sit_and_claim(struct pcn_arena *arena, void *context)
{
    chunk_sit_and_claim(arena, context);
}

static void run(struct pcn_arena *arena, void *context)
{
    chunk_run(arena, context);
}

static void each_item_ends(struct pcn_arena *arena, void *context, bool died)
{
    struct chunk *chunk = context;
    struct pcn_remains remains = chunk_bury(arena, chunk);
    chunk_check(chunk, &remains);
    CHECK(died || chunk->answered);
}

static void death_at_each_step_of_a_chunk(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "run of a chunk",
                                .arrange = submit,
                                .prepare = sit_and_claim,
                                .operate = run,
                                .survive = each_item_ends,
                                .points = 60};
    crash_everywhere(&arena, &crash, chunk);
}

static void stop_at_the_first(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item;
    uint8_t *area;
    CHECK_EQ(pcn_channel_area(arena, chunk->pool.channel, chunk->pool.seat, &area, true), PCN_OK);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    chunk->ran[item]++;
    area[0] = (uint8_t)item;
    pcn_claim_finish(claim, item + 1, chunk->first, 1);
    pcn_claim_cut(claim);
    chunk_send(arena, chunk, PCN_OUTCOMES, chunk->first, item + 1, area);
    pcn_channel_done(chunk->pool.channel, chunk->pool.seat);
}

static void the_rest_is_not_owed(struct pcn_arena *arena, void *context, bool died)
{
    struct chunk *chunk = context;
    struct pcn_remains remains = chunk_bury(arena, chunk);
    if (chunk->answered || (remains.claimed && remains.held.range.end < chunk->end))
        chunk->end = chunk->first + 1; /* it has said that there will be no more */
    chunk_check(chunk, &remains);
    CHECK(died || chunk->answered);
}

static void death_while_stopping_at_an_error(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "claim.cut",
                                .arrange = submit,
                                .prepare = sit_and_claim,
                                .operate = stop_at_the_first,
                                .survive = the_rest_is_not_owed,
                                .points = 15};
    crash_everywhere(&arena, &crash, chunk);
}

/* Answers for all of it, without having begun an item: it can not be loaded, say. */
static void answer_the_whole(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t end = pcn_claim_take_all(claim);
    const struct pcn_part nothing = {NULL, 0};
    struct pcn_message message = {
        .task = chunk->task, .kind = 1, .first = chunk->first, .end = end};
    CHECK_EQ(pcn_channel_answer(arena, chunk->pool.channel, &message, &nothing, 1, true), PCN_OK);
    pcn_channel_done(chunk->pool.channel, chunk->pool.seat);
}

static void no_item_is_blamed(struct pcn_arena *arena, void *context, bool died)
{
    struct chunk *chunk = context;
    uint8_t room[PCN_INLINE_LIMIT + 64];
    uint64_t used;
    enum pcn_status got =
        pcn_channel_collect(arena, chunk->pool.channel, room, sizeof room, &used, true);
    CHECK(got == PCN_OK || (got == PCN_EMPTY && died));
    struct pcn_remains remains = chunk_bury(arena, chunk);
    CHECK(remains.claimed || got == PCN_OK);
    if (remains.claimed) {
        CHECK_EQ(remains.held.range.begun, chunk->first);
        CHECK_EQ(remains.held.progress.done, chunk->first);
        CHECK_EQ(remains.held.range.end, chunk->end);
    }
}

static void death_while_answering_for_all(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "claim.take_all",
                                .arrange = submit,
                                .prepare = sit_and_claim,
                                .operate = answer_the_whole,
                                .survive = no_item_is_blamed,
                                .points = 8};
    crash_everywhere(&arena, &crash, chunk);
}

/* ---- a doomed worker is killed, wherever it has come to meanwhile ---- */

static void be_doomed_in_the_first(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item;
    uint8_t *area;
    chunk_sit_and_claim(arena, chunk);
    CHECK_EQ(pcn_channel_area(arena, chunk->pool.channel, chunk->pool.seat, &area, true), PCN_OK);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    chunk->ran[item]++;
    area[0] = (uint8_t)item;
    CHECK(pcn_claim_doom(claim, tasks_of(chunk), chunk->task, item)); /* the parent does */
}

static void finish_and_go_on(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct chunk *chunk = context;
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item;
    pcn_claim_finish(claim, chunk->first + 1, chunk->first, 1);
    CHECK_EQ(pcn_claim_begin(claim, true, &item), PCN_BUSY);
}

static void it_has_not_begun_another(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct chunk *chunk = context;
    struct pcn_remains remains = chunk_bury(arena, chunk);
    CHECK(remains.claimed);
    CHECK_EQ(remains.held.range.begun, chunk->first + 1);
    chunk_check(chunk, &remains);
    CHECK_EQ(chunk->ran[chunk->first + 1], 0);
}

static void death_of_the_doomed(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "claim.begin, doomed",
                                .arrange = submit,
                                .prepare = be_doomed_in_the_first,
                                .operate = finish_and_go_on,
                                .survive = it_has_not_begun_another,
                                .points = 5};
    crash_everywhere(&arena, &crash, chunk);
}

static void submit_single(struct pcn_arena *arena, void *context)
{
    chunk_submit(arena, context, 0, 1);
}

static void be_doomed(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    chunk_sit_and_claim(arena, chunk);
    CHECK(pcn_claim_doom(chunk_claim(chunk), tasks_of(chunk), chunk->task, PCN_ANY_ITEM));
}

/* Behind that it would park. */
static void answer(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    uint8_t area[1] = {0};
    chunk->ran[0]++;
    chunk_send(arena, chunk, PCN_OUTCOMES, 0, 1, area);
    CHECK(pcn_channel_done(chunk->pool.channel, chunk->pool.seat));
}

static void it_is_answered_or_held(struct pcn_arena *arena, void *context, bool died)
{
    struct chunk *chunk = context;
    struct pcn_remains remains = chunk_bury(arena, chunk);
    CHECK(died || chunk->answered);
    CHECK(chunk->answered || (remains.claimed && remains.held.task == chunk->task));
}

static void death_of_the_doomed_while_answering(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "channel.done, doomed",
                                .arrange = submit_single,
                                .prepare = be_doomed,
                                .operate = answer,
                                .survive = it_is_answered_or_held,
                                .points = 7};
    crash_everywhere(&arena, &crash, chunk);
}

/* ---- the parent dies at what it does to a claim; seen from its children ---- */

static void let_one_claim(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    uint32_t item;
    chunk_submit(arena, chunk, 2, 13);
    chunk_sit_and_claim(arena, chunk); /* this process is the worker now */
    CHECK_EQ(pcn_claim_begin(chunk_claim(chunk), false, &item), PCN_OK);
    chunk->ran[item]++;
}

static void take_some_back(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct chunk *chunk = context;
    uint32_t first, end;
    CHECK(pcn_claim_take_back(chunk_claim(chunk), tasks_of(chunk), chunk->task, 3, &first, &end));
    CHECK(first == 6 && end == 13);
}

static void all_of_it_is_there_or_some_is_taken(struct pcn_arena *arena, void *context, bool died)
{
    struct chunk *chunk = context;
    struct pcn_held held;
    CHECK(pcn_claim_look(chunk_claim(chunk), tasks_of(chunk), &held));
    CHECK(held.range.end == 6 || (died && held.range.end == 13));
    CHECK_EQ(held.range.begun, 3);
    pcn_channel_done(chunk->pool.channel, chunk->pool.seat);
    CHECK_EQ(pcn_recover_all(arena), 1);
}

static void death_while_taking_back(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "claim.take_back",
                                .arrange = let_one_claim,
                                .operate = take_some_back,
                                .survive = all_of_it_is_there_or_some_is_taken,
                                .points = 2};
    crash_everywhere(&arena, &crash, chunk);
}

static void doom_stop_and_pardon(struct pcn_arena *arena, void *context)
{
    (void)arena;
    struct chunk *chunk = context;
    struct pcn_claim *claim = chunk_claim(chunk);
    CHECK(pcn_claim_stop(claim, tasks_of(chunk), chunk->task, 2));
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task, 3));
    CHECK(pcn_claim_doom(claim, tasks_of(chunk), chunk->task, 2));
    pcn_claim_pardon(claim);
}

/* The parent's heir, were there one, can pardon it: it goes on as if nothing had been. */
static void it_goes_on(struct pcn_arena *arena, void *context, bool died)
{
    struct chunk *chunk = context;
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item;
    CHECK_VALID(pcn_validate_channel(arena, chunk->pool.channel));
    if (!died)
        CHECK(pcn_claim_stop_asked(claim));
    pcn_claim_pardon(claim);
    pcn_claim_park(claim);
    pcn_claim_finish(claim, 3, 2, 1);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    CHECK_EQ(item, 3);
    CHECK(!pcn_claim_stop_asked(claim));
    CHECK(!pcn_channel_done(chunk->pool.channel, chunk->pool.seat));
    CHECK_EQ(pcn_recover_all(arena), 1);
}

static void death_while_dooming(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "claim.doom",
                                .arrange = let_one_claim,
                                .operate = doom_stop_and_pardon,
                                .survive = it_goes_on,
                                .points = 8};
    crash_everywhere(&arena, &crash, chunk);
}

/* A death while burying: the outcomes may be lost with the parent, but no block is. */
static void have_one_killed(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    chunk_submit(arena, chunk, 2, 13);
    const struct crash half = {.name = "bury", .prepare = sit_and_claim, .operate = run};
    struct crash_run one = {&half, context, arena->me, 20};
    CHECK(!family_wait(family_fork_raw(arena, crash_child, &one)));
}

static void bury(struct pcn_arena *arena, void *context)
{
    struct chunk *chunk = context;
    struct pcn_remains remains =
        pcn_channel_bury(arena, chunk->pool.channel, chunk->pool.seat);
    CHECK(remains.claimed && remains.area != 0);
}

static void the_seat_is_free(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct chunk *chunk = context;
    chunk_collect(arena, chunk);
    pcn_channel_bury(arena, chunk->pool.channel, chunk->pool.seat);
    CHECK_VALID(pcn_validate_channel(arena, chunk->pool.channel));
    pcn_block_reclaim(arena, chunk->worker); /* whose name the seat may have forgotten */
    pcn_recover_all(arena);
    CHECK_EQ(pool_blocks(arena), 1);
    CHECK_EQ(pcn_load_relaxed64(&chunk_claim(chunk)->token), 0);
}

static void death_while_burying(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    const struct crash crash = {.name = "channel.bury of a chunk",
                                .arrange = have_one_killed,
                                .operate = bury,
                                .survive = the_seat_is_free,
                                .points = 5};
    crash_everywhere(&arena, &crash, chunk);
}

static const struct check_case cases[] = {
    CHECK_CASE(death_at_each_step_of_a_chunk),
    CHECK_CASE(death_while_stopping_at_an_error),
    CHECK_CASE(death_while_answering_for_all),
    CHECK_CASE(death_of_the_doomed),
    CHECK_CASE(death_of_the_doomed_while_answering),
    CHECK_CASE(death_while_taking_back),
    CHECK_CASE(death_while_dooming),
    CHECK_CASE(death_while_burying),
};
CHECK_MAIN(cases)
