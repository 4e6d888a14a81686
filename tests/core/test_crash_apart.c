/* Death at each step of an answer with buffers apart: written, published, adopted, wrapped into an
 * object, let go. What arrives is whole, and nothing is left of what does not. */
#define _GNU_SOURCE
#include "crash_channel.h"

#include "apart.h"
#include "object.h"

#define BUFFERS 3

static const uint64_t lengths[2][BUFFERS] = {{1, 64, 0}, {20000, 7, 4096}};

/* A body and buffers that tell whose they are: filled with the task's number and their own. */
struct content {
    uint8_t bytes[BUFFERS + 1][20000];
    struct pcn_part parts[BUFFERS + 1]; /* the body first */
};

static struct content content;

static void make_content(uint64_t task, bool large)
{
    for (uint64_t i = 0; i <= BUFFERS; i++) {
        uint64_t length = i ? lengths[large][i - 1] : 8 + task % 60;
        memset(content.bytes[i], (int)(task * 5 + i) % 251, length);
        content.parts[i] = (struct pcn_part){content.bytes[i], length};
    }
}

static uint64_t size_of_content(void)
{
    return pcn_apart_size(content.parts, content.parts + 1, BUFFERS);
}

static void check_content(const uint8_t *whole, uint64_t length, uint64_t task, bool large)
{
    make_content(task, large);
    CHECK_EQ(length, size_of_content());
    uint64_t body;
    memcpy(&body, whole, sizeof body);
    CHECK_EQ(body, content.parts[0].length);
    uint64_t at = sizeof body;
    for (uint64_t i = 0; i <= BUFFERS; i++) {
        if (i)
            at = (at + PCN_APART_ALIGNMENT - 1) / PCN_APART_ALIGNMENT * PCN_APART_ALIGNMENT;
        CHECK(memcmp(whole + at, content.parts[i].bytes, content.parts[i].length) == 0);
        at += content.parts[i].length;
    }
    CHECK_EQ(at, length);
}

/* As the binding does. */
static void answer_apart(struct pcn_arena *arena, struct scene *scene, uint64_t task)
{
    struct pool *pool = &scene->pool;
    struct pcn_message message = {.task = task, .kind = PCN_APART, .worker = pool->seat};
    bool large = scene->length > PCN_INLINE_LIMIT;
    make_content(task, large);
    CHECK_EQ(pcn_block_allocate(arena, size_of_content(), &message.block, true), PCN_OK);
    pcn_apart_write(pcn_block_bytes(arena, message.block), content.parts, content.parts + 1,
                    BUFFERS);
    CHECK_EQ(pcn_channel_answer_block(arena, pool->channel, &message, true), PCN_OK);
    pcn_channel_done(pool->channel, pool->seat);
}

/* Make Memory of it, and let that go again. */
static void wrap_and_release(struct pcn_arena *arena, const struct pcn_message *message,
                             bool large)
{
    struct pcn_name name;
    uint32_t hold;
    CHECK_EQ(pcn_object_create(arena, PCN_MEMORY, &name, &hold), PCN_OK);
    pcn_object_at(arena, name.object)->size = message->length;
    pcn_object_at(arena, name.object)->block = message->block;
    pcn_block_give(arena, message->block, pcn_object_token(name), name.object);
    check_content(pcn_block_bytes(arena, pcn_object_at(arena, name.object)->block),
                  message->length, message->task, large);
    pcn_object_release(arena, hold);
}

/* Collect all there is: how often each task was answered. */
static void collect_all(struct pcn_arena *arena, struct scene *scene, uint8_t *times)
{
    static uint8_t room[POOL_ROOM];
    uint64_t used;
    enum pcn_status got =
        pcn_channel_collect(arena, scene->pool.channel, room, sizeof room, &used, true);
    CHECK(got == PCN_OK || got == PCN_EMPTY);
    for (uint64_t at = 0; at < used;) {
        struct pcn_message message;
        memcpy(&message, room + at, sizeof message);
        at += sizeof message + (message.block ? 0 : (message.length + 7) / 8 * 8);
        times[message.task]++;
        if (message.kind == PCN_APART)
            wrap_and_release(arena, &message, scene->length > PCN_INLINE_LIMIT);
        else if (message.block)
            CHECK_EQ(pcn_block_free(arena, message.block, false, true), PCN_OK);
    }
}

static uint32_t objects(const struct pcn_arena *arena)
{
    uint32_t count = 0;
    uint32_t high = pcn_load_relaxed32(&pcn_head(arena)->objects_high);
    for (uint32_t index = 0; index < high; index++)
        count += pcn_load_relaxed64(&pcn_object_at(arena, index)->serial) != 0;
    return count;
}

/* ---- a worker dies ---- */

static void sit_and_claim(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    struct pcn_message message;
    sit(arena, context);
    CHECK_EQ(pool_claim(arena, &scene->pool, &message), PCN_OK);
}

static void answer(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    answer_apart(arena, scene, scene->next - 2);
}

static void it_is_whole_or_nothing_is_left(struct pcn_arena *arena, void *context, bool died)
{
    struct scene *scene = context;
    CHECK_VALID(pcn_validate_channel(arena, scene->pool.channel));
    if (scene->settle_late)
        let_another_work(arena, scene);
    collect_all(arena, scene, scene->times);
    struct pcn_remains remains = pcn_channel_bury(arena, scene->pool.channel, 0);
    pcn_block_reclaim(arena, scene->child);
    CHECK(pcn_recover_all(arena) >= 1);
    if (!scene->settle_late)
        let_another_work(arena, scene);
    collect_all(arena, scene, scene->times);
    uint64_t first = scene->next - 2;
    CHECK_EQ(scene->times[first + 1], 1);
    CHECK(scene->times[first] == 1 || (died && scene->times[first] == 0 && remains.claimed &&
                                       remains.held.task == first));
    free_payloads(arena, scene);
    CHECK_EQ(objects(arena), 0);
}

static void death_while_answering(void)
{
    for (int way = 0; way < 4; way++) {
        struct pcn_arena arena;
        struct scene *scene = make_scene(&arena, way & 1 ? POOL_LARGE : 100, way & 2);
        const struct crash crash = {.name = "apart.answer",
                                    .arrange = send_two,
                                    .prepare = sit_and_claim,
                                    .operate = answer,
                                    .survive = it_is_whole_or_nothing_is_left,
                                    .points = 16};
        crash_everywhere(&arena, &crash, scene);
    }
}

/* ---- the receiver dies ---- */

/* One process is parent and worker of a channel that goes with it. */
static void answer_and_collect(struct pcn_arena *arena, void *context)
{
    struct scene scene = {.length = *(uint64_t *)context, .next = 1};
    uint8_t times[2] = {0};
    struct pcn_message message;
    scene.pool = pool_make(arena, 1, POOL_TASKS);
    pcn_channel_sit(arena, scene.pool.channel, 0);
    submit(arena, &scene);
    CHECK_EQ(pool_claim(arena, &scene.pool, &message), PCN_OK);
    answer_apart(arena, &scene, 1);
    collect_all(arena, &scene, times);
    CHECK_EQ(times[1], 1);
    free_payloads(arena, &scene);
}

static void nothing_is_left(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    (void)context;
    CHECK(pcn_recover_all(arena) >= 1);
    struct pcn_name name; /* settles the lock of objects */
    uint32_t hold;
    CHECK_EQ(pcn_object_create(arena, PCN_MEMORY, &name, &hold), PCN_OK);
    pcn_object_release(arena, hold);
    CHECK_EQ(objects(arena), 0);
    CHECK_EQ(pool_blocks(arena), 0);
}

static void death_of_the_receiver(void)
{
    for (int large = 0; large <= 1; large++) {
        struct pcn_arena arena;
        family_make(&arena);
        uint64_t *length = family_memory(sizeof *length);
        *length = large ? POOL_LARGE : 100;
        const struct crash crash = {.name = "apart.receive",
                                    .operate = answer_and_collect,
                                    .survive = nothing_is_left,
                                    .points = 50};
        crash_everywhere(&arena, &crash, length);
    }
}

static const struct check_case cases[] = {
    CHECK_CASE(death_while_answering),
    CHECK_CASE(death_of_the_receiver),
};
CHECK_MAIN(cases)
