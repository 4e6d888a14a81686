/* The channel: each task answered once, claims that outlive their worker, waiting that ends. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "channel_family.h"

static void a_task_goes_there_and_its_answer_back(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 2, POOL_TASKS);
    pool.seat = 1;
    pcn_channel_sit(&arena, pool.channel, 1);
    struct pcn_message message;
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_EMPTY);
    CHECK_EQ(pool_submit(&arena, &pool, 7, 100, NULL), PCN_OK);
    uint64_t before = pcn_now_ns();
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
    CHECK_EQ(message.task, 7);
    CHECK_EQ(message.length, 100);
    const struct pcn_claim *claim = &pool.channel->claims[1];
    CHECK(pcn_load_relaxed64(&claim->since) >= before);
    CHECK(pcn_load_relaxed64(&claim->since) <= pcn_now_ns());
    CHECK_EQ(pcn_load_relaxed64(&claim->task), 7);
    CHECK_EQ(pcn_load_relaxed32(&claim->started), 1);
    CHECK_EQ(pcn_load_relaxed32(&claim->busy), 1);
    uint8_t times[8] = {0};
    CHECK_EQ(pool_collect(&arena, &pool, times, 8), 0);
    pool_answer(&arena, &pool, 7, 100);
    CHECK_EQ(pcn_load_relaxed32(&claim->busy), 0);
    CHECK_EQ(pool_collect(&arena, &pool, times, 8), 1);
    CHECK_EQ(times[7], 1);
    CHECK_EQ(pool_collect(&arena, &pool, times, 8), 0);
    CHECK_VALID(pcn_validate_channel(&arena, pool.channel));
}

static void every_length_around_the_inline_limit_travels(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pcn_channel_sit(&arena, pool.channel, 0);
    const uint64_t lengths[] = {0, 1, 7, 8, 9, PCN_INLINE_LIMIT - 1, PCN_INLINE_LIMIT,
                                PCN_INLINE_LIMIT + 1, POOL_LARGE};
    uint8_t times[16] = {0};
    for (uint64_t task = 0; task < sizeof lengths / sizeof *lengths; task++) {
        pcn_block_id block;
        struct pcn_message message;
        CHECK_EQ(pool_submit(&arena, &pool, task, lengths[task], &block), PCN_OK);
        CHECK_EQ(block != 0, lengths[task] > PCN_INLINE_LIMIT);
        CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
        CHECK_EQ(message.length, lengths[task]);
        CHECK_EQ(message.block, block);
        pool_answer(&arena, &pool, task, lengths[task]);
        if (block) /* the parent's own, from the submission to the result */
            CHECK_EQ(pcn_block_free(&arena, block, false, true), PCN_OK);
        CHECK_EQ(pool_collect(&arena, &pool, times, 16), 1);
        CHECK_EQ(times[task], 1);
    }
    CHECK_EQ(pool_blocks(&arena), 1); /* the channel's */
}

static void a_full_ring_says_so_and_keeps_nothing(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    uint64_t sent = 0;
    while (pool_submit(&arena, &pool, sent, 1000, NULL) == PCN_OK)
        sent++;
    CHECK(sent >= POOL_TASKS / 1200);
    CHECK_EQ(pool_submit(&arena, &pool, sent, 1000, NULL), PCN_FULL);
    while (pool_submit(&arena, &pool, sent, 0, NULL) == PCN_OK)
        sent++;
    struct pcn_message message = {.length = POOL_LARGE};
    uint8_t payload[POOL_LARGE] = {0};
    CHECK_EQ(pcn_channel_submit(&arena, pool.channel, &message, payload, true, NULL), PCN_FULL);
    CHECK_EQ(pool_blocks(&arena), 1);
    pcn_channel_sit(&arena, pool.channel, 0);
    for (uint64_t task = 0; task < sent; task++) {
        CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
        CHECK_EQ(message.task, task);
        pcn_channel_done(pool.channel, 0);
    }
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_EMPTY);
}

static void a_closed_channel_is_worked_empty_first(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pcn_channel_sit(&arena, pool.channel, 0);
    struct pcn_message message;
    CHECK_EQ(pool_submit(&arena, &pool, 1, 10, NULL), PCN_OK);
    pcn_channel_close(pool.channel);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_CLOSED);
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, pool.seat, FAMILY_PATIENCE_NS), PCN_OK);
}

static void waiting_is_bounded(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pcn_channel_sit(&arena, pool.channel, 0);
    CHECK_EQ(pcn_channel_pokes(pool.channel), 0);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 0), PCN_TIMEOUT);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, pool.seat, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed64(&pool.channel->spinner), 0);
    pcn_channel_poke(pool.channel);
    CHECK_EQ(pcn_channel_pokes(pool.channel), 1);
    /* Whoever has not seen it: each keeps a count of his own. */
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, FAMILY_PATIENCE_NS), PCN_OK);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, FAMILY_PATIENCE_NS), PCN_OK);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 1, 0), PCN_TIMEOUT);
    pool_answer(&arena, &pool, 1, 10);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 1, FAMILY_PATIENCE_NS), PCN_OK);
    CHECK_EQ(pcn_channel_wait_room(pool.channel, 10, FAMILY_PATIENCE_NS), PCN_OK);
}

struct sleeper {
    struct pcn_arena *arena;
    struct pcn_channel *channel;
};

static void *sleep_for_work(void *sleeper)
{
    const struct sleeper *it = sleeper;
    CHECK_EQ(pcn_channel_wait_work(it->arena, it->channel, 0, FAMILY_PATIENCE_NS), PCN_OK);
    return NULL;
}

static void it_is_known_where_a_worker_sleeps(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pcn_channel_sit(&arena, pool.channel, 0);
    const pcn_atomic32 *core = &pool.channel->claims[0].core;
    struct sleeper sleeper = {&arena, pool.channel};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sleep_for_work, &sleeper), 0);
    while (pcn_load_relaxed32(core) == 0)
        sched_yield();
    CHECK_EQ(pool_submit(&arena, &pool, 1, 10, NULL), PCN_OK);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pcn_load_relaxed32(core), 0);
}

/* Who sleeps is woken on the core that he went to sleep on, for all that one knows. */
static void the_parent_does_not_spin_where_the_worker_is_to_run(void)
{
    struct pcn_arena arena;
    cpu_set_t before, one;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 2, POOL_TASKS);
    pcn_atomic32 *misses = &pool.channel->news_misses, *cores[2];
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    CPU_SET(pcn_core() - 1, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    for (uint32_t seat = 0; seat < 2; seat++) {
        pcn_channel_sit(&arena, pool.channel, seat);
        cores[seat] = &pool.channel->claims[seat].core;
        CHECK_EQ(pcn_load_relaxed32(cores[seat]), 0);
    }
    CHECK_EQ(pcn_channel_wait_work(&arena, pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed32(cores[0]), 0); /* it is awake again */
    pcn_store_relaxed32(cores[0], pcn_core());

    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed32(misses), 1); /* there is no task for anybody */
    CHECK_EQ(pool_submit(&arena, &pool, 1, 10, NULL), PCN_OK);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed32(misses), 2); /* the other worker does not sleep */
    pcn_store_relaxed32(cores[1], pcn_core() + 1);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed32(misses), 3); /* he may take it, elsewhere */
    pcn_store_relaxed32(cores[1], pcn_core());
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed32(misses), 3); /* both are to run here */
    struct pcn_message message;
    CHECK_EQ(pool_claim(&arena, &pool, &message), PCN_OK);
    CHECK_EQ(pcn_channel_wait_news(pool.channel, 0, 2000000), PCN_TIMEOUT);
    CHECK_EQ(pcn_load_relaxed32(misses), 4); /* one runs */
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

#define POKES 2000u

static void *poke_often(void *context)
{
    struct pool *pool = context;
    for (uint32_t i = 0; i < POKES; i++) {
        pcn_channel_poke(pool->channel);
        sched_yield();
    }
    return NULL;
}

static void *await_all_pokes(void *context)
{
    struct pool *pool = context;
    uint32_t seen;
    while ((seen = pcn_channel_pokes(pool->channel)) < POKES)
        CHECK(pcn_channel_wait_news(pool->channel, seen, FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
    return NULL;
}

static void the_last_poke_is_never_slept_through(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    pthread_t threads[3];
    CHECK_EQ(pthread_create(&threads[0], NULL, await_all_pokes, &pool), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, await_all_pokes, &pool), 0);
    CHECK_EQ(pthread_create(&threads[2], NULL, poke_often, &pool), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* ---- with workers ---- */

static uint64_t mixed_length(uint64_t task)
{
    return task % 50 == 49 ? POOL_LARGE : task * 37 % 900;
}

static void run_tasks(uint32_t workers, uint64_t tasks, uint32_t in_flight)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, workers, POOL_TASKS);
    pid_t children[4];
    for (pool.seat = 0; pool.seat < workers; pool.seat++)
        children[pool.seat] = family_fork(&arena, pool_work, &pool);
    uint8_t *times = calloc(tasks, 1);
    pcn_block_id *blocks = calloc(tasks, sizeof *blocks);
    uint64_t sent = 0, got = 0;
    while (got < tasks) {
        while (sent < tasks && sent - got < in_flight &&
               pool_submit(&arena, &pool, sent, mixed_length(sent), &blocks[sent]) == PCN_OK)
            sent++;
        uint32_t now = pool_collect(&arena, &pool, times, tasks);
        if (now == 0)
            CHECK(pcn_channel_wait_news(pool.channel, 0, FAMILY_PATIENCE_NS) !=
                  PCN_TIMEOUT);
        got += now;
    }
    pool_wait_seated(&pool, workers);
    pcn_channel_close(pool.channel);
    for (uint32_t i = 0; i < workers; i++)
        CHECK(family_wait(children[i]));
    for (uint64_t task = 0; task < tasks; task++) {
        CHECK_EQ(times[task], 1);
        if (blocks[task])
            CHECK_EQ(pcn_block_free(&arena, blocks[task], false, true), PCN_OK);
    }
    CHECK_VALID(pcn_validate_channel(&arena, pool.channel));
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(pcn_recover_all(&arena), workers);
    CHECK_EQ(pool_blocks(&arena), 1);
    free(times);
    free(blocks);
}

static void one_task_at_a_time_comes_back(void)
{
    run_tasks(1, 2000, 1);
}

static void many_workers_answer_each_task_once(void)
{
    run_tasks(3, 4000, UINT32_MAX);
}

static void a_few_in_flight_keep_all_awake(void)
{
    run_tasks(3, 3000, 3);
}

/* Tasks that end only when all of a round run at once: a worker left asleep is a hang. */
struct rendezvous {
    struct pool pool;
    pcn_atomic32 *running; /* in all; shared */
};

static void work_together(struct pcn_arena *arena, void *context)
{
    struct rendezvous *place = context;
    pcn_channel_sit(arena, place->pool.channel, place->pool.seat);
    for (;;) {
        struct pcn_message message;
        enum pcn_status got = pool_claim(arena, &place->pool, &message);
        if (got == PCN_CLOSED)
            return;
        if (got != PCN_OK) {
            CHECK(pcn_channel_wait_work(arena, place->pool.channel, place->pool.seat,
                                        FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
            continue;
        }
        pcn_add_relaxed32(place->running, 1);
        uint64_t until = pcn_now_ns() + FAMILY_PATIENCE_NS;
        while (pcn_load_relaxed32(place->running) <= message.task / 3 * 3 + 2) {
            CHECK(pcn_now_ns() < until);
            sched_yield();
        }
        pool_answer(arena, &place->pool, message.task, message.length);
    }
}

static void three_tasks_wake_three_workers(void)
{
    enum { ROUNDS = 150 };
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 3, POOL_TASKS);
    struct rendezvous place = {pool, family_memory(sizeof(pcn_atomic32))};
    pid_t children[3];
    for (place.pool.seat = 0; place.pool.seat < 3; place.pool.seat++)
        children[place.pool.seat] = family_fork(&arena, work_together, &place);
    static uint8_t times[3 * ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            CHECK_EQ(pool_submit(&arena, &pool, 3 * round + i, 10, NULL), PCN_OK);
            /* In every other round each task is running before the next one comes. */
            while (round % 2 && pcn_load_relaxed32(place.running) <= 3 * round + i)
                sched_yield();
        }
        for (uint32_t got = 0; got < 3;) {
            CHECK(pcn_channel_wait_news(pool.channel, 0, FAMILY_PATIENCE_NS) !=
                  PCN_TIMEOUT);
            got += pool_collect(&arena, &pool, times, sizeof times);
        }
    }
    pcn_channel_close(pool.channel);
    for (int i = 0; i < 3; i++)
        CHECK(family_wait(children[i]));
}

/* ---- deaths ---- */

struct mortal {
    struct pool pool;
    struct gate reached;
    int how; /* 0: idle, 1: in the task, 2: after the answer */
};

static void work_and_stop(struct pcn_arena *arena, void *context)
{
    struct mortal *mortal = context;
    struct pcn_message message;
    pcn_channel_sit(arena, mortal->pool.channel, mortal->pool.seat);
    if (mortal->how >= 1) {
        CHECK_EQ(pool_claim(arena, &mortal->pool, &message), PCN_OK);
    }
    if (mortal->how == 2)
        pool_answer(arena, &mortal->pool, message.task, message.length);
    family_stay(arena, &mortal->reached);
}

static struct pcn_remains remains_of(struct pcn_arena *arena, struct pool *pool, int how)
{
    struct mortal mortal = {*pool, gate_make(), how};
    pid_t child = family_fork(arena, work_and_stop, &mortal);
    gate_wait(&mortal.reached);
    pcn_token token = pcn_load_relaxed64(&pool->channel->claims[pool->seat].token);
    CHECK(pcn_owner_alive(arena, token));
    family_kill(child);
    struct pcn_remains remains = pcn_channel_bury(arena, pool->channel, pool->seat);
    CHECK_EQ(remains.token, token);
    CHECK_EQ(pcn_load_relaxed64(&pool->channel->claims[pool->seat].token), 0);
    CHECK_VALID(pcn_validate_channel(arena, pool->channel));
    return remains;
}

static void a_death_tells_what_was_running(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 3, POOL_TASKS);
    pool.seat = 2;
    uint8_t times[10] = {0};
    CHECK(!remains_of(&arena, &pool, 0).claimed);

    CHECK_EQ(pool_submit(&arena, &pool, 4, 10, NULL), PCN_OK);
    struct pcn_remains remains = remains_of(&arena, &pool, 1);
    CHECK(remains.claimed && remains.held.started);
    CHECK_EQ(remains.held.task, 4);
    CHECK_EQ(remains.held.range.end, 1);
    CHECK_EQ(remains.held.progress.done, 0);

    CHECK_EQ(pool_submit(&arena, &pool, 9, 10, NULL), PCN_OK);
    CHECK(!remains_of(&arena, &pool, 2).claimed);
    CHECK_EQ(pool_collect(&arena, &pool, times, 10), 1);
    CHECK_EQ(times[9], 1);

    struct pcn_remains nobody = pcn_channel_bury(&arena, pool.channel, 0);
    CHECK(!nobody.claimed);
    CHECK_EQ(nobody.token, 0);
}

static void a_new_worker_takes_the_seat_of_a_dead_one(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, 1, POOL_TASKS);
    uint8_t times[2] = {0};
    CHECK_EQ(pool_submit(&arena, &pool, 0, 10, NULL), PCN_OK);
    CHECK_EQ(pool_submit(&arena, &pool, 1, 10, NULL), PCN_OK);
    CHECK(remains_of(&arena, &pool, 1).claimed);
    pid_t child = family_fork(&arena, pool_work, &pool);
    pcn_channel_close(pool.channel);
    CHECK(family_wait(child));
    CHECK_EQ(pool_collect(&arena, &pool, times, 2), 1);
    CHECK_EQ(times[0], 0); /* died with its worker */
    CHECK_EQ(times[1], 1);
}

/* Kill a random worker whenever some more answers have come: each task ends in one answer
 * or in one dead claim, never in both or neither. */
static void deaths_cost_one_task_each(void)
{
    enum { TASKS = 3000, WORKERS = 3 };
    struct pcn_arena arena;
    family_make(&arena);
    struct pool pool = pool_make(&arena, WORKERS, POOL_TASKS);
    static uint8_t times[TASKS], dead[TASKS];
    static pcn_block_id blocks[TASKS];
    pid_t children[WORKERS];
    for (pool.seat = 0; pool.seat < WORKERS; pool.seat++)
        children[pool.seat] = family_fork(&arena, pool_work, &pool);
    uint64_t sent = 0, settled = 0, next_death = 40, random = 4711;
    uint32_t deaths = 0;
    while (settled < TASKS) {
        while (sent < TASKS && sent - settled < 20 &&
               pool_submit(&arena, &pool, sent, mixed_length(sent), &blocks[sent]) == PCN_OK)
            sent++;
        uint32_t now = pool_collect(&arena, &pool, times, TASKS);
        settled += now;
        if (settled >= next_death) {
            next_death = settled + 40;
            deaths++;
            pool.seat = (uint32_t)(check_random(&random) % WORKERS);
            family_kill(children[pool.seat]);
            settled += pool_collect(&arena, &pool, times, TASKS);
            struct pcn_remains remains = pcn_channel_bury(&arena, pool.channel, pool.seat);
            if (remains.claimed && !times[remains.held.task]) {
                CHECK_EQ(dead[remains.held.task]++, 0);
                settled++;
            }
            if (remains.token)
                pcn_block_reclaim(&arena, remains.token);
            children[pool.seat] = family_fork(&arena, pool_work, &pool);
        } else if (now == 0 && settled < TASKS) {
            CHECK(pcn_channel_wait_news(pool.channel, 0, FAMILY_PATIENCE_NS) !=
                  PCN_TIMEOUT);
        }
    }
    CHECK(deaths >= 40);
    pcn_channel_close(pool.channel);
    for (int i = 0; i < WORKERS; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pool_collect(&arena, &pool, times, TASKS), 0);
    for (uint64_t task = 0; task < TASKS; task++) {
        CHECK_EQ(times[task] + dead[task], 1);
        if (blocks[task])
            CHECK_EQ(pcn_block_free(&arena, blocks[task], false, true), PCN_OK);
    }
    pcn_recover_all(&arena);
    CHECK_VALID(pcn_validate_channel(&arena, pool.channel));
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK_EQ(pool_blocks(&arena), 1);
}

static const struct check_case cases[] = {
    CHECK_CASE(a_task_goes_there_and_its_answer_back),
    CHECK_CASE(every_length_around_the_inline_limit_travels),
    CHECK_CASE(a_full_ring_says_so_and_keeps_nothing),
    CHECK_CASE(a_closed_channel_is_worked_empty_first),
    CHECK_CASE(waiting_is_bounded),
    CHECK_CASE(it_is_known_where_a_worker_sleeps),
    CHECK_CASE(the_parent_does_not_spin_where_the_worker_is_to_run),
    CHECK_CASE(the_last_poke_is_never_slept_through),
    CHECK_CASE(one_task_at_a_time_comes_back),
    CHECK_CASE(many_workers_answer_each_task_once),
    CHECK_CASE(a_few_in_flight_keep_all_awake),
    CHECK_CASE(three_tasks_wake_three_workers),
    CHECK_CASE(a_death_tells_what_was_running),
    CHECK_CASE(a_new_worker_takes_the_seat_of_a_dead_one),
    CHECK_CASE(deaths_cost_one_task_each),
};
CHECK_MAIN(cases)
