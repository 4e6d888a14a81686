/* Death at each step of joining and of sweeping: the slot is used again, the sweep is done
 * once and to its end, whoever begins it. */
#define _GNU_SOURCE
#include "crash.h"

#include "block.h"
#include "lock.h"

static uint32_t slots_high(const struct pcn_arena *arena)
{
    return pcn_load_acquire32(&pcn_head(arena)->slots_high);
}

/* Slots that a process has, dead or alive. */
static uint32_t slots_taken(const struct pcn_arena *arena)
{
    uint32_t taken = 0;
    for (uint32_t index = 0; index < slots_high(arena); index++)
        taken += pcn_load_relaxed32(&pcn_slot_at(arena, index)->state) >= PCN_SLOT_TAKEN;
    return taken;
}

static uint32_t blocks_owned(const struct pcn_arena *arena)
{
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(arena, &bytes, &count);
    return count;
}

static void do_nothing(struct pcn_arena *arena, void *context)
{
    (void)arena;
    (void)context;
}

/* The survivors: three processes come and go as if nothing had happened; all is swept. */
static void newcomers_find_a_place(struct pcn_arena *arena, uint32_t at_most)
{
    pid_t children[3];
    pcn_token tokens[3];
    for (int i = 0; i < 3; i++) {
        children[i] = family_fork_staying(arena, &tokens[i]);
        CHECK(pcn_owner_alive(arena, tokens[i]));
    }
    CHECK(slots_high(arena) <= at_most); /* no slot is lost to a death */
    for (int i = 0; i < 3; i++)
        family_kill(children[i]);
    pcn_recover_all(arena);
    for (int i = 0; i < 3; i++)
        CHECK(!pcn_owner_alive(arena, tokens[i]));
    CHECK_EQ(slots_taken(arena), 1);
    CHECK(pcn_owner_alive(arena, arena->me));
    CHECK_VALID(pcn_validate_arena(arena));
}

static void death_while_joining(void)
{
    /* A new arena each time: only then does the join make its slot first. */
    const struct crash crash = {.name = "owner.join", .operate = do_nothing, .before_join = true};
    bool died = true;
    for (uint64_t number = 1; died; number++) {
        snprintf(check_context, sizeof check_context, "fail point %llu",
                 (unsigned long long)number);
        struct pcn_arena arena;
        family_make(&arena);
        struct crash_run run = {&crash, NULL, arena.me, number};
        died = !family_wait(family_fork_raw(&arena, crash_child, &run));
        CHECK(died || number > 4);
        newcomers_find_a_place(&arena, 4);
    }
}

/* ---- the sweep ---- */

struct scene {
    pcn_token victim;
    pcn_token home; /* the survivor */
    pcn_block_id kept;
};

/* Dies inside the heap's lock, with two blocks of its own and one on its way to us. */
static void die_rich(struct pcn_arena *arena, void *context)
{
    struct scene *scene = context;
    scene->victim = arena->me;
    pcn_block_id id;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pcn_block_allocate(arena, 30000, &id, true), PCN_OK);
    pcn_block_send(arena, id, scene->home);
    CHECK_EQ(pcn_failpoint_arm(3), 0);
    pcn_block_allocate(arena, 500000, &id, true);
}

static void leave_a_rich_victim(struct pcn_arena *arena, void *context)
{
    CHECK(!family_wait(family_fork(arena, die_rich, context)));
    CHECK(pcn_lock_owner(&pcn_head(arena)->heap_lock) == ((struct scene *)context)->victim);
}

static struct scene *make_scene(struct pcn_arena *arena)
{
    family_make(arena);
    struct scene *scene = family_memory(sizeof *scene);
    scene->home = arena->me;
    CHECK_EQ(pcn_block_allocate(arena, 5000, &scene->kept, true), PCN_OK);
    return scene;
}

static void all_is_swept_once(struct pcn_arena *arena, void *context, bool died)
{
    (void)died;
    struct scene *scene = context;
    pcn_recover_all(arena);
    CHECK_EQ(slots_taken(arena), 1);
    CHECK(!pcn_owner_alive(arena, scene->victim));
    CHECK_EQ(pcn_block_reclaim(arena, scene->victim), 1);
    CHECK_EQ(blocks_owned(arena), 1);
    CHECK_EQ(pcn_lock_owner(&pcn_head(arena)->heap_lock), 0);
    CHECK_EQ(pcn_recover_all(arena), 0);
    newcomers_find_a_place(arena, 5);
}

/* Joins in the victim's slot, and so sweeps it. */
static void death_while_joining_over_the_dead(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    const struct crash crash = {.name = "owner.join with a sweep",
                                .arrange = leave_a_rich_victim,
                                .operate = do_nothing,
                                .survive = all_is_swept_once,
                                .points = 13,
                                .before_join = true};
    crash_everywhere(&arena, &crash, scene);
}

/* ---- two join at once, over two dead ones; one of them dies at it ---- */

struct pair {
    struct scene scenes[2];
    struct gate ready, die, join;
    uint64_t number; /* the first joiner's fail point */
    pcn_atomic32 next;
};

static void die_rich_when_told(struct pcn_arena *arena, void *context)
{
    struct pair *pair = context;
    struct scene *scene = &pair->scenes[pcn_add_relaxed32(&pair->next, 1) % 2];
    gate_open(&pair->ready, 1);
    gate_wait(&pair->die); /* a later join would sweep this one by itself */
    die_rich(arena, scene);
}

static void join_and_die(struct pcn_arena *arena, void *context)
{
    struct pair *pair = context;
    gate_wait(&pair->join);
    CHECK_EQ(pcn_failpoint_arm(pair->number), 0);
    CHECK_EQ(pcn_owner_join(arena, pair->scenes[0].home), PCN_OK);
    pcn_failpoint_arm(0);
}

static void join_and_work(struct pcn_arena *arena, void *context)
{
    struct pair *pair = context;
    pcn_block_id id;
    gate_wait(&pair->join);
    CHECK_EQ(pcn_owner_join(arena, pair->scenes[0].home), PCN_OK);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pcn_block_allocate(arena, 30000, &id, true), PCN_OK);
        CHECK_EQ(pcn_block_free(arena, id, i % 2, true), PCN_OK);
    }
}

static void death_while_two_join_over_two_dead(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct pair *pair = family_memory(sizeof *pair);
    pair->scenes[0].home = pair->scenes[1].home = arena.me;
    /* How many points the first one passes depends on what the other leaves it to sweep. */
    for (pair->number = 1; pair->number <= 24; pair->number++) {
        snprintf(check_context, sizeof check_context, "fail point %llu",
                 (unsigned long long)pair->number);
        pair->ready = gate_make();
        pair->die = gate_make();
        pair->join = gate_make();
        pid_t victims[2], joiners[2];
        for (int i = 0; i < 2; i++)
            victims[i] = family_fork(&arena, die_rich_when_told, pair);
        for (int i = 0; i < 2; i++)
            gate_wait(&pair->ready);
        gate_open(&pair->die, 2);
        for (int i = 0; i < 2; i++)
            CHECK(!family_wait(victims[i]));
        joiners[0] = family_fork_raw(&arena, join_and_die, pair);
        joiners[1] = family_fork_raw(&arena, join_and_work, pair);
        gate_open(&pair->join, 2);
        bool died = !family_wait(joiners[0]);
        CHECK(family_wait(joiners[1]));
        CHECK(died || pair->number > 4); /* so many has a join alone */
        pcn_recover_all(&arena);
        CHECK_EQ(slots_taken(&arena), 1);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pcn_block_reclaim(&arena, pair->scenes[i].victim), 1);
        CHECK_EQ(blocks_owned(&arena), 0);
        CHECK_VALID(pcn_validate_arena(&arena));
        newcomers_find_a_place(&arena, 6);
    }
}

/* ---- recover_all by a process that has its own slot already ---- */

struct sweeping {
    struct scene *scene;
    struct gate joined, go;
    uint64_t number;
};

static void sweep_when_told(struct pcn_arena *arena, void *context)
{
    struct sweeping *sweeping = context;
    gate_open(&sweeping->joined, 1);
    gate_wait(&sweeping->go);
    CHECK_EQ(pcn_failpoint_arm(sweeping->number), 0);
    CHECK_EQ(pcn_recover_all(arena), 1);
    pcn_failpoint_arm(0);
}

static void death_while_sweeping(void)
{
    struct pcn_arena arena;
    struct scene *scene = make_scene(&arena);
    bool died = true;
    for (uint64_t number = 1; died; number++) {
        snprintf(check_context, sizeof check_context, "fail point %llu",
                 (unsigned long long)number);
        struct sweeping sweeping = {scene, gate_make(), gate_make(), number};
        pid_t sweeper = family_fork(&arena, sweep_when_told, &sweeping);
        gate_wait(&sweeping.joined); /* a later join would sweep the victim by itself */
        leave_a_rich_victim(&arena, scene);
        gate_open(&sweeping.go, 1);
        died = !family_wait(sweeper);
        CHECK(died || number > 10);
        all_is_swept_once(&arena, scene, died);
    }
}

/* ---- a child joins while its dead parent is swept ---- */

struct orphan {
    struct gate born, join, alive;
    pcn_atomic32 joined; /* 1 + pcn_status */
};

static void join_late(struct pcn_arena *arena, void *context)
{
    struct orphan *orphan = context;
    prctl(PR_SET_PDEATHSIG, 0);
    pcn_token parent = arena->me;
    gate_open(&orphan->born, 1);
    gate_wait(&orphan->join);
    pcn_store_relaxed32(&orphan->joined, 1u + (uint32_t)pcn_owner_join(arena, parent));
}

static void bear_and_stay(struct pcn_arena *arena, void *context)
{
    family_fork_raw(arena, join_late, context);
    for (;;)
        pause();
}

static void who_joins_after_its_parent_was_swept_is_told(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct orphan *orphan = family_memory(sizeof *orphan);
    orphan->born = gate_make();
    orphan->join = gate_make();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t parent = family_fork(&arena, bear_and_stay, orphan);
    gate_wait(&orphan->born);
    family_kill(parent);
    CHECK_EQ(pcn_recover_all(&arena), 1);
    gate_open(&orphan->join, 1);
    CHECK(wait(NULL) > 0);
    CHECK(pcn_load_relaxed32(&orphan->joined) > 1u + PCN_OK); /* refused, not seated */
    newcomers_find_a_place(&arena, 4);
}

static const struct check_case cases[] = {
    CHECK_CASE(death_while_joining),
    CHECK_CASE(death_while_joining_over_the_dead),
    CHECK_CASE(death_while_two_join_over_two_dead),
    CHECK_CASE(death_while_sweeping),
    CHECK_CASE(who_joins_after_its_parent_was_swept_is_told),
};
CHECK_MAIN(cases)
