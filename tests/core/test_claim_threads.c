/* Workers as threads, and threads of their parent, which look, take back, doom, pardon and revoke
 * (one at a time). Each item is run once or taken back once, each task is run or revoked, and a
 * doomed worker begins nothing. */
#define _GNU_SOURCE
#include <pthread.h>

#include "claim_family.h"

#define ROUNDS 400u /* at least; and until both kinds of disturbances have been there */

struct play {
    struct pcn_arena arena;
    struct chunk *chunk;
    pcn_atomic64 running; /* the number of the chunk that is worked at; 0: all are done */
    pthread_mutex_t turn; /* the parent's threads take turns */
    uint32_t dooms, takes;
};

static void *work(void *context)
{
    struct play *play = context;
    struct chunk *chunk = play->chunk;
    bool disturbed = false;
    for (uint32_t round = 0; round < ROUNDS || !disturbed; round++) {
        pthread_mutex_lock(&play->turn);
        chunk_submit(&play->arena, chunk, round % 5, CHUNK_ITEMS);
        pthread_mutex_unlock(&play->turn);
        struct pcn_message message;
        CHECK_EQ(pcn_channel_claim(&play->arena, chunk->pool.channel, 0, &message, NULL, true),
                 PCN_OK);
        pcn_store_release64(&play->running, chunk->task);
        chunk_run(&play->arena, chunk);
        pthread_mutex_lock(&play->turn);
        chunk_collect(&play->arena, chunk);
        CHECK(chunk->answered);
        for (uint32_t item = chunk->first; item < CHUNK_ITEMS; item++) {
            CHECK_EQ(chunk->ran[item] + chunk->taken[item], 1);
            CHECK_EQ(chunk->sent[item], chunk->ran[item]);
        }
        disturbed = play->takes > 0 && play->dooms > 0;
        pthread_mutex_unlock(&play->turn);
    }
    pcn_store_release64(&play->running, UINT64_MAX);
    return NULL;
}

/* A doomed worker stays where it is, until it is pardoned. */
static void doom_and_watch(struct play *play, uint64_t task, const struct pcn_held *seen)
{
    struct pcn_claim *claim = chunk_claim(play->chunk);
    const struct pcn_ring *tasks = &play->chunk->pool.channel->tasks;
    struct pcn_held held;
    if (seen->range.begun == 0 ||
        !pcn_claim_doom(claim, tasks, task, seen->range.begun - 1))
        return;
    play->dooms++;
    for (int look = 0; look < 20; look++) {
        sched_yield();
        if (!pcn_claim_remains(claim, tasks, &held))
            break; /* it was the last item: answered, and nothing else is claimed */
        CHECK_EQ(held.task, task);
        CHECK(held.range.begun <= seen->range.begun); /* less: it was at the next, undone soon */
    }
    CHECK_EQ(pcn_load_relaxed64(&claim->task), task);
    pcn_claim_pardon(claim);
}

static void *disturb(void *context)
{
    struct play *play = context;
    struct chunk *chunk = play->chunk;
    struct pcn_claim *claim = chunk_claim(chunk);
    const struct pcn_ring *tasks = &chunk->pool.channel->tasks;
    uint64_t random = 11, task;
    while ((task = pcn_load_acquire64(&play->running)) != UINT64_MAX) {
        struct pcn_held held;
        pthread_mutex_lock(&play->turn);
        if (pcn_claim_look(claim, tasks, &held) && held.task == task && task == chunk->task) {
            CHECK_EQ(held.range.tag, task & 0xffff);
            CHECK(held.progress.done <= held.range.begun);
            CHECK(held.range.begun <= held.range.end);
            uint32_t first, end, keep = (uint32_t)(check_random(&random) % 8);
            if (keep == 0)
                doom_and_watch(play, task, &held);
            else if (pcn_claim_take_back(claim, tasks, task, keep + 20, &first, &end)) {
                play->takes++;
                for (uint32_t item = first; item < end; item++)
                    chunk->taken[item]++;
            }
        }
        pthread_mutex_unlock(&play->turn);
        sched_yield();
    }
    return NULL;
}

static void items_are_run_or_taken_back(void)
{
    struct play play = {.turn = PTHREAD_MUTEX_INITIALIZER};
    play.chunk = chunk_make(&play.arena);
    play.chunk->yields = true;
    pcn_channel_sit(&play.arena, play.chunk->pool.channel, 0);
    pthread_t threads[3];
    CHECK_EQ(pthread_create(&threads[0], NULL, work, &play), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, disturb, &play), 0);
    CHECK_EQ(pthread_create(&threads[2], NULL, disturb, &play), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* ---- several workers; the parent revokes, and sends them to the bench and back ---- */

#define SEATS 3u
#define TASKS 3000u
#define ALONE 20u /* the workers begin at this task: some of those before it are revoked */

struct crowd {
    struct pcn_arena arena;
    struct pool pool;
    uint32_t seat;
    uint8_t ran[TASKS + 1]; /* by this one */
};

static void *serve(void *context)
{
    struct crowd *me = context;
    struct pcn_message message;
    uint8_t payload[PCN_INLINE_LIMIT];
    pcn_channel_sit(&me->arena, me->pool.channel, me->seat);
    for (;;) {
        enum pcn_status got = pcn_channel_claim(&me->arena, me->pool.channel, me->seat, &message,
                                                payload, true);
        if (got == PCN_CLOSED)
            return NULL;
        if (got == PCN_OK) {
            me->ran[message.task]++;
            CHECK(!pcn_channel_done(me->pool.channel, me->seat));
        } else {
            CHECK(pcn_channel_wait_work(&me->arena, me->pool.channel, me->seat,
                                        FAMILY_PATIENCE_NS) != PCN_TIMEOUT);
        }
    }
}

/* Some of the last few tasks. */
static void revoke_some(struct crowd *crowd, uint64_t task, uint64_t *random, uint8_t *revoked)
{
    uint64_t numbers[8], count = 0;
    uint8_t found[8] = {0};
    for (uint64_t number = task < 12 ? 1 : task - 12; number <= task && count < 8; number++) {
        if (check_random(random) % 2 == 0)
            numbers[count++] = number;
    }
    uint64_t all = pcn_channel_revoke(&crowd->arena, crowd->pool.channel, numbers, count, found);
    for (uint64_t i = 0; i < count; i++) {
        revoked[numbers[i]] = (uint8_t)(revoked[numbers[i]] + found[i]);
        all -= found[i];
    }
    CHECK_EQ(all, 0);
}

static void tasks_are_run_or_revoked(void)
{
    static struct crowd crowd[SEATS];
    static uint8_t revoked[TASKS + 1];
    pthread_t threads[SEATS];
    family_make(&crowd[0].arena);
    crowd[0].pool = pool_make(&crowd[0].arena, SEATS, POOL_TASKS);
    for (uint32_t seat = 0; seat < SEATS; seat++) {
        crowd[seat].arena = crowd[0].arena;
        crowd[seat].pool = crowd[0].pool;
        crowd[seat].seat = seat;
    }
    uint64_t random = 5;
    for (uint64_t task = 1; task <= TASKS; task++) {
        for (uint32_t seat = 0; task == ALONE && seat < SEATS; seat++)
            CHECK_EQ(pthread_create(&threads[seat], NULL, serve, &crowd[seat]), 0);
        while (pool_submit(&crowd[0].arena, &crowd[0].pool, task, task % 200, NULL) == PCN_FULL)
            sched_yield();
        if (task % 7 == 0) /* seat 0 always serves */
            pcn_channel_duty(crowd[0].pool.channel, 1 + task % 2,
                             check_random(&random) % 2 ? PCN_BENCH : PCN_SERVE);
        if (task % 5 == 0)
            revoke_some(&crowd[0], task, &random, revoked);
        if (task % 50 == 0)
            CHECK_VALID(pcn_validate_channel(&crowd[0].arena, crowd[0].pool.channel));
    }
    pcn_channel_close(crowd[0].pool.channel);
    for (uint32_t seat = 0; seat < SEATS; seat++)
        CHECK_EQ(pthread_join(threads[seat], NULL), 0);
    uint32_t all = 0;
    for (uint64_t task = 1; task <= TASKS; task++) {
        CHECK_EQ(crowd[0].ran[task] + crowd[1].ran[task] + crowd[2].ran[task] + revoked[task], 1);
        all += revoked[task];
    }
    CHECK(all > 0 && all < TASKS);
    CHECK_VALID(pcn_validate_channel(&crowd[0].arena, crowd[0].pool.channel));
}

static const struct check_case cases[] = {
    CHECK_CASE(tasks_are_run_or_revoked),
    CHECK_CASE(items_are_run_or_taken_back),
};
CHECK_MAIN(cases)
