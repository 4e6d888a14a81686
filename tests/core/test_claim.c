/* Claims of ranges: items are run once or taken back once, dooms hit what they were aimed at, and
 * what was finished outlives its worker. */
#define _GNU_SOURCE
#include "claim_family.h"

static const struct pcn_ring *tasks_of(const struct chunk *chunk)
{
    return &chunk->pool.channel->tasks;
}

static struct pcn_held look(struct chunk *chunk)
{
    struct pcn_held held;
    CHECK(pcn_claim_look(chunk_claim(chunk), tasks_of(chunk), &held));
    return held;
}

static bool holds(struct chunk *chunk)
{
    struct pcn_held held;
    return pcn_claim_look(chunk_claim(chunk), tasks_of(chunk), &held);
}

static void packed_words_come_back(void)
{
    struct pcn_range range =
        pcn_range_of(pcn_range_pack(0xabcd1234, PCN_MAX_ITEMS, PCN_MAX_ITEMS - 1));
    CHECK_EQ(range.tag, 0x1234);
    CHECK_EQ(range.end, PCN_MAX_ITEMS);
    CHECK_EQ(range.begun, PCN_MAX_ITEMS - 1);
    struct pcn_progress progress =
        pcn_progress_of(pcn_progress_pack(PCN_MAX_ITEMS, PCN_MAX_ITEMS - 1, PCN_INLINE_LIMIT));
    CHECK_EQ(progress.done, PCN_MAX_ITEMS);
    CHECK_EQ(progress.first, PCN_MAX_ITEMS - 1);
    CHECK_EQ(progress.bytes, PCN_INLINE_LIMIT);
}

static void a_chunk_is_run_and_answered_in_parts(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    for (uint32_t round = 0; round < 3; round++) { /* over the end of the tags */
        chunk_submit(&arena, chunk, 3, 20);
        CHECK(!holds(chunk));
        chunk_sit_and_claim(&arena, chunk);
        struct pcn_held held = look(chunk);
        CHECK_EQ(held.task, chunk->task);
        CHECK_EQ(held.range.tag, chunk->task & 0xffff);
        CHECK(held.range.begun == 3 && held.range.end == 20 && held.progress.done == 3);
        CHECK(held.started);
        chunk_run(&arena, chunk);
        CHECK(!holds(chunk));
        chunk_collect(&arena, chunk);
        CHECK(chunk->answered);
        for (uint32_t item = 0; item < CHUNK_ITEMS; item++) {
            CHECK_EQ(chunk->ran[item], item >= 3 && item < 20);
            CHECK_EQ(chunk->sent[item], item >= 3 && item < 20);
        }
    }
}

static void time_is_kept_where_it_is_asked_for(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    chunk_submit(&arena, chunk, 0, 3);
    chunk_sit_and_claim(&arena, chunk);
    uint32_t item;
    uint64_t before = pcn_now_ns();
    CHECK_EQ(pcn_claim_begin(chunk_claim(chunk), false, &item), PCN_OK);
    CHECK(look(chunk).item_since <= before); /* that of the claim */
    CHECK_EQ(look(chunk).item_since, look(chunk).since);
    pcn_claim_finish(chunk_claim(chunk), 1, 0, 1);
    CHECK_EQ(pcn_claim_begin(chunk_claim(chunk), true, &item), PCN_OK);
    CHECK(look(chunk).item_since >= before);
    CHECK(look(chunk).item_since <= pcn_now_ns());
}

static void what_is_not_begun_can_be_taken_back(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item, first, end;
    chunk_submit(&arena, chunk, 2, 12);
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 1, &first, &end));
    chunk_sit_and_claim(&arena, chunk);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    CHECK_EQ(item, 2);
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task + 1, 0, &first, &end));
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 9, &first, &end));
    CHECK(pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 4, &first, &end));
    CHECK(first == 7 && end == 12);
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 4, &first, &end));
    CHECK(pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 0, &first, &end));
    CHECK(first == 3 && end == 7);
    pcn_claim_finish(claim, 3, 2, 0);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_EMPTY);
    CHECK(!pcn_channel_done(chunk->pool.channel, 0));
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 0, &first, &end));
}

static void nothing_is_taken_from_a_single_call_or_an_answered_range(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item, first, end;
    chunk_submit(&arena, chunk, 0, 1);
    chunk_sit_and_claim(&arena, chunk);
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 0, &first, &end));
    pcn_channel_done(chunk->pool.channel, 0);

    chunk_submit(&arena, chunk, 0, 9);
    chunk_sit_and_claim(&arena, chunk);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    pcn_claim_cut(claim); /* it stops at this item */
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 0, &first, &end));
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_EMPTY);
    pcn_channel_done(chunk->pool.channel, 0);

    chunk_submit(&arena, chunk, 4, 9);
    chunk_sit_and_claim(&arena, chunk);
    CHECK(pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 3, &first, &end));
    CHECK_EQ(pcn_claim_take_all(claim), 7); /* one answer to the whole */
    CHECK(!pcn_claim_take_back(claim, tasks_of(chunk), chunk->task, 0, &first, &end));
    struct pcn_held held;
    CHECK(pcn_claim_remains(claim, tasks_of(chunk), &held));
    CHECK(held.range.begun == 4 && held.progress.done == 4); /* no item of it was at fault */
}

static void a_doom_names_what_runs(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item;
    chunk_submit(&arena, chunk, 0, 5);
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task, PCN_ANY_ITEM)); /* in the ring */
    chunk_sit_and_claim(&arena, chunk);
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task, 0)); /* not begun */
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task - 1, PCN_ANY_ITEM));
    CHECK_EQ(pcn_load_relaxed64(&claim->doomed), 0);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task, 1));
    CHECK(pcn_claim_doom(claim, tasks_of(chunk), chunk->task, 0));
    pcn_claim_finish(claim, 1, 0, 1);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_BUSY);
    CHECK_EQ(look(chunk).range.begun, 1); /* as if it had not been begun */
    pcn_claim_pardon(claim);
    pcn_claim_park(claim);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    CHECK_EQ(item, 1);
    pcn_claim_finish(claim, 2, 0, 2);
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task, 1)); /* it is done */
    CHECK(pcn_claim_doom(claim, tasks_of(chunk), chunk->task, PCN_ANY_ITEM));
    CHECK(pcn_channel_done(chunk->pool.channel, 0)); /* it would park now */
    CHECK(!pcn_claim_doom(claim, tasks_of(chunk), chunk->task, PCN_ANY_ITEM));
    CHECK_EQ(pcn_load_relaxed64(&claim->doomed), 0);
}

static void a_stop_is_told_once_and_only_to_its_item(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    struct pcn_claim *claim = chunk_claim(chunk);
    uint32_t item;
    chunk_submit(&arena, chunk, 0, 5);
    CHECK(!pcn_claim_stop(claim, tasks_of(chunk), chunk->task, PCN_ANY_ITEM));
    chunk_sit_and_claim(&arena, chunk);
    CHECK(!pcn_claim_stop_asked(claim));
    CHECK(pcn_claim_stop(claim, tasks_of(chunk), chunk->task, PCN_ANY_ITEM));
    CHECK(pcn_claim_stop_asked(claim));
    CHECK(!pcn_claim_stop_asked(claim));
    CHECK(!pcn_claim_stop(claim, tasks_of(chunk), chunk->task, 0));
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    CHECK(pcn_claim_stop(claim, tasks_of(chunk), chunk->task, 0));
    pcn_claim_finish(claim, 1, 0, 1);
    CHECK_EQ(pcn_claim_begin(claim, false, &item), PCN_OK);
    CHECK(!pcn_claim_stop_asked(claim)); /* it came too late for item 0 */
    CHECK(pcn_claim_stop(claim, tasks_of(chunk), chunk->task, 1));
    pcn_channel_done(chunk->pool.channel, 0);
    CHECK(!pcn_claim_stop_asked(claim));
    chunk_submit(&arena, chunk, 0, 5);
    struct pcn_message message;
    CHECK_EQ(pcn_channel_claim(&arena, chunk->pool.channel, 0, &message, NULL, true), PCN_OK);
    CHECK_EQ(pcn_load_relaxed64(&claim->stop), 0);
}

/* ---- duty ---- */

static void a_seat_does_its_duty(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 2, POOL_TASKS);
    struct pcn_message message;
    pcn_channel_duty(pool.channel, 0, PCN_BENCH);
    pcn_channel_sit(&arena, pool.channel, 0);
    CHECK_EQ(pool_submit(&arena, &pool, 1, 10, NULL), PCN_OK);
    CHECK_EQ(pool_submit(&arena, &pool, 2, 10, NULL), PCN_OK);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_EMPTY);
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, 0, 1000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed64(&pool.channel->spinner), 0);
    pcn_channel_duty(pool.channel, 0, PCN_SERVE);
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, 0, FAMILY_PATIENCE_NS), PCN_OK);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
    pcn_channel_duty(pool.channel, 0, PCN_LEAVE);
    pool_answer(&arena, &pool, 1, 10); /* what it holds it finishes */
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, 0, FAMILY_PATIENCE_NS), PCN_OK);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_CLOSED);
    pcn_channel_duty(pool.channel, 0, PCN_BENCH);
    pcn_channel_close(pool.channel);
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, 0, FAMILY_PATIENCE_NS), PCN_OK);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_CLOSED);
    pool.seat = 1;
    pcn_channel_sit(&arena, pool.channel, 1);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
    CHECK_EQ(message.task, 2);
}

/* Waits on the bench, or works. */
static void work(struct pcn_arena *arena, void *context)
{
    pool_work(arena, context);
}

static void one_that_is_called_from_the_bench_hears_it(void)
{
    enum { ROUNDS = 300 };
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 2, POOL_TASKS);
    pid_t children[2];
    pcn_channel_duty(pool.channel, 1, PCN_BENCH);
    for (pool.seat = 0; pool.seat < 2; pool.seat++)
        children[pool.seat] = family_fork(&arena, work, &pool);
    static uint8_t times[ROUNDS];
    for (uint32_t task = 0; task < ROUNDS; task++) { /* each time another one serves */
        pcn_channel_duty(pool.channel, task % 2, PCN_SERVE);
        pcn_channel_duty(pool.channel, 1 - task % 2, PCN_BENCH);
        CHECK_EQ(pool_submit(&arena, &pool, task, 10, NULL), PCN_OK);
        while (pool_collect(&arena, &pool, times, sizeof times) == 0)
            CHECK(pcn_channel_wait_news(pool.channel, 0, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
        CHECK_EQ(times[task], 1);
    }
    for (uint32_t seat = 0; seat < 2; seat++)
        pcn_channel_duty(pool.channel, seat, PCN_LEAVE);
    for (int i = 0; i < 2; i++)
        CHECK(family_wait(children[i]));
}

/* ---- revoking ---- */

static void what_is_revoked_is_never_claimed(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    struct pcn_message message;
    pcn_channel_sit(&arena, pool.channel, 0);
    uint64_t position = 0;
    for (uint32_t round = 0; round < 200; round++) { /* all the way round the ring */
        for (uint64_t task = 1; task <= 6; task++)
            CHECK_EQ(pool_submit(&arena, &pool, task, 100 * task, NULL), PCN_OK);
        CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK); /* the first */
        pcn_channel_done(pool.channel, 0);
        const uint64_t numbers[] = {0, 1, 2, 4, 6, 9};
        uint8_t found[6] = {0};
        CHECK_EQ(pcn_channel_revoke(&arena, pool.channel, numbers, 6, found), 3);
        const uint8_t expected[6] = {0, 0, 1, 1, 1, 0};
        CHECK_EQ(memcmp(found, expected, 6), 0);
        CHECK_EQ(pcn_channel_revoke(&arena, pool.channel, numbers, 6, found), 0);
        CHECK_VALID(pcn_validate_channel(&arena, pool.channel));
        for (uint64_t task = 3; task <= 5; task += 2) {
            CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
            CHECK_EQ(message.task, task);
            pcn_channel_done(pool.channel, 0);
        }
        CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_EMPTY);
        CHECK(pcn_ring_tail(&pool.channel->tasks) > position);
        position = pcn_ring_tail(&pool.channel->tasks);
        CHECK(!pcn_ring_has_records(&pool.channel->tasks));
    }
}

static void what_is_revoked_first_leaves_room_at_once(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    static uint64_t numbers[POOL_TASKS / 64];
    static uint8_t found[POOL_TASKS / 64];
    uint64_t sent = 0;
    while (pool_submit(&arena, &pool, sent, 1000, NULL) == PCN_OK) {
        numbers[sent] = sent;
        sent++;
    }
    CHECK_EQ(pcn_channel_revoke(&arena, pool.channel, numbers, sent, found), sent);
    CHECK(!pcn_ring_has_records(&pool.channel->tasks));
    CHECK_EQ(pool_submit(&arena, &pool, sent, 1000, NULL), PCN_OK);
}

static void one_is_revoked_at_its_position(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    struct pcn_channel *channel = pool.channel;
    struct pcn_message message;
    pcn_channel_sit(&arena, channel, 0);
    for (uint32_t round = 0; round < 200; round++) { /* all the way round the ring */
        uint64_t at[6];
        for (uint64_t task = 1; task <= 5; task++)
            CHECK_EQ(pool_submit_at(&arena, &pool, task, 100 * task, NULL, &at[task]), PCN_OK);
        at[0] = pcn_ring_next(at[5], sizeof message + 500); /* nothing is there yet */
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 0, at[0], false), PCN_EMPTY);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 2, at[3], false), PCN_EMPTY);
        CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK); /* the first */
        pcn_channel_done(channel, 0);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 1, at[1], true), PCN_EMPTY);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 4, at[4], true), PCN_OK);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 4, at[4], true), PCN_EMPTY);
        CHECK_EQ(pcn_ring_tail(&channel->tasks), at[2]);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 2, at[2], false), PCN_OK);
        CHECK_EQ(pcn_ring_tail(&channel->tasks), at[3]);
        CHECK_VALID(pcn_validate_channel(&arena, channel));
        pcn_ring_lock(&arena, &channel->tasks, true);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 3, at[3], false), PCN_BUSY);
        pcn_ring_unlock(&channel->tasks);
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 3, at[3], false), PCN_OK);
        CHECK_EQ(pcn_ring_tail(&channel->tasks), at[5]); /* over the fourth */
        CHECK_EQ(pcn_channel_revoke_at(&arena, channel, 5, at[5], false), PCN_OK);
        CHECK(!pcn_ring_has_records(&channel->tasks));
    }
}

/* ---- deaths ---- */

struct mortal {
    struct chunk *chunk;
    struct gate reached;
    uint32_t at; /* the item that it stays in */
};

static void run_and_stay(struct pcn_arena *arena, void *context)
{
    struct mortal *mortal = context;
    struct chunk *chunk = mortal->chunk;
    struct pcn_claim *claim = chunk_claim(chunk);
    uint8_t *area;
    uint32_t item;
    chunk_sit_and_claim(arena, chunk);
    CHECK_EQ(pcn_channel_area(arena, chunk->pool.channel, chunk->pool.seat, &area, true), PCN_OK);
    for (uint32_t bytes = 0;; bytes++) {
        CHECK_EQ(pcn_claim_begin(claim, true, &item), PCN_OK);
        chunk->ran[item]++;
        if (item == mortal->at)
            family_stay(arena, &mortal->reached);
        area[bytes] = (uint8_t)item;
        pcn_claim_finish(claim, item + 1, chunk->first, bytes + 1);
    }
}

static void what_was_finished_outlives_the_worker(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    for (uint32_t at = 3; at < 9; at++) {
        chunk_submit(&arena, chunk, 3, 9);
        chunk->pool.seat = at % 4;
        struct mortal mortal = {chunk, gate_make(), at};
        pid_t child = family_fork(&arena, run_and_stay, &mortal);
        gate_wait(&mortal.reached);
        CHECK(pcn_claim_doom(chunk_claim(chunk), tasks_of(chunk), chunk->task, at));
        family_kill(child);
        struct pcn_remains remains = chunk_bury(&arena, chunk);
        CHECK(remains.claimed && remains.held.started);
        CHECK_EQ(remains.held.range.begun, at + 1);
        CHECK_EQ(remains.held.progress.done, at);
        chunk_check(chunk, &remains);
        for (uint32_t item = 3; item < 9; item++)
            CHECK_EQ(chunk->in_area[item], item < at);
        CHECK_EQ(pcn_load_relaxed64(&chunk_claim(chunk)->doomed), 0);
    }
}

struct parking {
    struct chunk *chunk;
    struct gate claimed, doomed, gone_on;
};

static void answer_and_park(struct pcn_arena *arena, void *context)
{
    struct parking *parking = context;
    struct chunk *chunk = parking->chunk;
    chunk_sit_and_claim(arena, chunk);
    gate_open(&parking->claimed, 1);
    gate_wait(&parking->doomed);
    chunk_run(arena, chunk);
    gate_open(&parking->gone_on, 1);
}

static void a_doomed_worker_waits_for_its_end(void)
{
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    for (int pardoned = 0; pardoned <= 1; pardoned++) {
        chunk_submit(&arena, chunk, 0, 3);
        struct parking parking = {chunk, gate_make(), gate_make(), gate_make()};
        pid_t child = family_fork(&arena, answer_and_park, &parking);
        gate_wait(&parking.claimed);
        CHECK(pcn_claim_doom(chunk_claim(chunk), tasks_of(chunk), chunk->task, PCN_ANY_ITEM));
        gate_open(&parking.doomed, 1);
        if (pardoned) {
            pcn_claim_pardon(chunk_claim(chunk));
            gate_wait(&parking.gone_on);
            CHECK(family_wait(child));
        } else {
            family_kill(child);
        }
        struct pcn_remains remains = chunk_bury(&arena, chunk);
        CHECK_EQ(remains.claimed, !pardoned);
        CHECK_EQ(chunk->ran[0], pardoned); /* not even the first one was begun */
        chunk_check(chunk, &remains);
    }
}

static void claim_and_run(struct pcn_arena *arena, void *context)
{
    chunk_sit_and_claim(arena, context);
    chunk_run(arena, context);
}

/* Doom it in whatever item it is found in; which one, or PCN_ANY_ITEM if it was too quick. */
static uint64_t doom_somewhere(struct chunk *chunk, uint64_t *random)
{
    struct pcn_claim *claim = chunk_claim(chunk);
    struct pcn_held held;
    while (!holds(chunk) && pcn_load_relaxed64(&claim->task) != chunk->task)
        sched_yield();
    for (uint64_t yields = check_random(random) % 64; yields > 0; yields--)
        sched_yield();
    while (pcn_claim_look(claim, tasks_of(chunk), &held)) {
        uint64_t item = (uint64_t)held.range.begun - 1;
        if (held.range.begun > chunk->first &&
            pcn_claim_doom(claim, tasks_of(chunk), chunk->task, item))
            return item;
    }
    return PCN_ANY_ITEM;
}

static void a_kill_hits_the_doomed_item_or_none(void)
{
    enum { ROUNDS = 150 };
    struct pcn_arena arena;
    struct chunk *chunk = chunk_make(&arena);
    uint64_t random = 99;
    uint32_t hits = 0;
    chunk->yields = true;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        chunk_submit(&arena, chunk, 1, CHUNK_ITEMS);
        pid_t child = family_fork(&arena, claim_and_run, chunk);
        uint64_t item = doom_somewhere(chunk, &random);
        if (item == PCN_ANY_ITEM) {
            CHECK(family_wait(child));
        } else {
            for (uint64_t yields = check_random(&random) % 4; yields > 0; yields--)
                sched_yield();
            family_kill(child);
            hits++;
        }
        struct pcn_remains remains = chunk_bury(&arena, chunk);
        chunk_check(chunk, &remains);
        for (uint64_t other = item; other < CHUNK_ITEMS; other++)
            CHECK(chunk->ran[other] == 0 || other == item);
        if (remains.claimed && remains.held.range.begun > remains.held.progress.done)
            CHECK_EQ(remains.held.progress.done, item);
    }
    CHECK(hits > 0);
}

static const struct check_case cases[] = {
    CHECK_CASE(packed_words_come_back),
    CHECK_CASE(a_chunk_is_run_and_answered_in_parts),
    CHECK_CASE(time_is_kept_where_it_is_asked_for),
    CHECK_CASE(what_is_not_begun_can_be_taken_back),
    CHECK_CASE(nothing_is_taken_from_a_single_call_or_an_answered_range),
    CHECK_CASE(a_doom_names_what_runs),
    CHECK_CASE(a_stop_is_told_once_and_only_to_its_item),
    CHECK_CASE(a_seat_does_its_duty),
    CHECK_CASE(one_that_is_called_from_the_bench_hears_it),
    CHECK_CASE(what_is_revoked_is_never_claimed),
    CHECK_CASE(what_is_revoked_first_leaves_room_at_once),
    CHECK_CASE(one_is_revoked_at_its_position),
    CHECK_CASE(what_was_finished_outlives_the_worker),
    CHECK_CASE(a_doomed_worker_waits_for_its_end),
    CHECK_CASE(a_kill_hits_the_doomed_item_or_none),
};
CHECK_MAIN(cases)
