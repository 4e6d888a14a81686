/* Slots and life locks: who lives is known at once, and a sweep happens once. */
#define _GNU_SOURCE
#include <pthread.h>

#include "block.h"
#include "family.h"
#include "platform.h"

static void nobody_else_is_alive(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    CHECK(arena.me != 0);
    CHECK(pcn_owner_alive(&arena, arena.me));
    CHECK(!pcn_owner_alive(&arena, 0));
    CHECK(!pcn_owner_alive(&arena, pcn_token_make(1, 1)));
    CHECK(!pcn_owner_alive(&arena, pcn_token_make(1, PCN_MAX_SLOTS - 1)));
    CHECK(!pcn_owner_alive(&arena, pcn_token_make(1, 0xffff)));
    uint64_t generation = pcn_token_generation(arena.me);
    CHECK(!pcn_owner_alive(&arena, pcn_token_make(generation + 1, pcn_token_slot(arena.me))));
    CHECK(!pcn_owner_alive(&arena, pcn_token_make(generation - 1, pcn_token_slot(arena.me))));
}

static void a_token_names_slot_and_generation(void)
{
    pcn_token token = pcn_token_make(0x123456789abu, 0xcdef);
    CHECK_EQ(pcn_token_generation(token), 0x123456789abu);
    CHECK_EQ(pcn_token_slot(token), 0xcdef);
}

static void end_by_gate(struct pcn_arena *arena, void *context)
{
    (void)arena;
    gate_wait(context);
}

/* `alive` holds a pipe whose other end only the child has: its end of file comes after the
 * kernel has marked the life locks, and before anybody reaps the child. */
static void death_is_seen_before_the_child_is_reaped(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct gate alive = gate_make();
    pcn_token token;
    pid_t child = family_fork_staying(&arena, &token);
    close(alive.ends[1]);
    CHECK(pcn_owner_alive(&arena, token));
    kill(child, SIGKILL);
    char byte;
    CHECK_EQ(read(alive.ends[0], &byte, 1), 0);
    CHECK(!pcn_owner_alive(&arena, token));
    CHECK(!pcn_owner_alive(&arena, token)); /* looking does not revive it */
    CHECK(!family_wait(child));
}

static void an_ordinary_end_is_a_death_too(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct gate gate = gate_make();
    pid_t child = family_fork(&arena, end_by_gate, &gate);
    gate_open(&gate, 1);
    CHECK(family_wait(child));
    CHECK_EQ(pcn_recover_all(&arena), 1);
    CHECK_EQ(pcn_recover_all(&arena), 0);
}

static void a_slot_is_used_again_under_a_new_name(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_token first, second;
    family_kill(family_fork_staying(&arena, &first));
    uint32_t high = pcn_load_relaxed32(&pcn_head(&arena)->slots_high);
    pid_t child = family_fork_staying(&arena, &second); /* sweeps and takes over */
    CHECK_EQ(pcn_load_relaxed32(&pcn_head(&arena)->slots_high), high);
    CHECK_EQ(pcn_token_slot(first), pcn_token_slot(second));
    CHECK(pcn_token_generation(second) > pcn_token_generation(first));
    CHECK(!pcn_owner_alive(&arena, first));
    CHECK(pcn_owner_alive(&arena, second));
    family_kill(child);
    CHECK(!pcn_owner_alive(&arena, second));
    CHECK_VALID(pcn_validate_arena(&arena));
}

struct join_report {
    struct gate ready, go, leave;
    pcn_atomic64 tokens[24];
    pcn_atomic32 next;
};

static void join_at_once(struct pcn_arena *arena, void *context)
{
    struct join_report *report = context;
    gate_wait(&report->go);
    CHECK_EQ(pcn_owner_join(arena, 0), PCN_OK);
    pcn_store_relaxed64(&report->tokens[pcn_add_relaxed32(&report->next, 1)], arena->me);
    gate_open(&report->ready, 1);
    gate_wait(&report->leave);
}

static void joins_at_the_same_time_get_different_slots(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct join_report *report = family_memory(sizeof *report);
    report->ready = gate_make();
    report->go = gate_make();
    report->leave = gate_make();
    pid_t children[24];
    for (int i = 0; i < 24; i++)
        children[i] = family_fork_raw(&arena, join_at_once, report);
    gate_open(&report->go, 24);
    for (int i = 0; i < 24; i++)
        gate_wait(&report->ready);
    for (int i = 0; i < 24; i++) {
        pcn_token mine = pcn_load_relaxed64(&report->tokens[i]);
        CHECK(pcn_owner_alive(&arena, mine));
        CHECK(pcn_token_slot(mine) != pcn_token_slot(arena.me));
        for (int other = 0; other < i; other++)
            CHECK(pcn_token_slot(mine) !=
                  pcn_token_slot(pcn_load_relaxed64(&report->tokens[other])));
    }
    gate_open(&report->leave, 24);
    for (int i = 0; i < 24; i++)
        CHECK(family_wait(children[i]));
    CHECK_EQ(pcn_recover_all(&arena), 24);
}

struct sweep_report {
    struct gate go[5];
    struct gate done;
    pcn_atomic32 freed;
};
struct sweeper {
    struct sweep_report *report;
    int number;
};

static void sweep_each_round(struct pcn_arena *arena, void *context)
{
    struct sweeper *sweeper = context;
    gate_open(&sweeper->report->done, 1); /* joined: a join sweeps, too, and is not counted */
    for (int round = 0; round < 30; round++) {
        gate_wait(&sweeper->report->go[sweeper->number]);
        pcn_add_relaxed32(&sweeper->report->freed, pcn_recover_all(arena));
        gate_open(&sweeper->report->done, 1);
    }
    gate_wait(&sweeper->report->go[sweeper->number]); /* none ends while others sweep */
}

static void exactly_one_of_many_sweepers_wins(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct sweep_report *report = family_memory(sizeof *report);
    report->done = gate_make();
    pid_t sweepers[5];
    for (int i = 0; i < 5; i++) {
        report->go[i] = gate_make();
        struct sweeper sweeper = {report, i};
        sweepers[i] = family_fork(&arena, sweep_each_round, &sweeper);
    }
    for (int i = 0; i < 5; i++)
        gate_wait(&report->done);
    for (uint32_t round = 1; round <= 30; round++) {
        pcn_token victim;
        family_kill(family_fork_staying(&arena, &victim));
        for (int i = 0; i < 5; i++)
            gate_open(&report->go[i], 1);
        for (int i = 0; i < 5; i++)
            gate_wait(&report->done);
        CHECK_EQ(pcn_load_relaxed32(&report->freed), round);
        CHECK(!pcn_owner_alive(&arena, victim));
    }
    for (int i = 0; i < 5; i++)
        gate_open(&report->go[i], 1);
    for (int i = 0; i < 5; i++)
        CHECK(family_wait(sweepers[i]));
}

static void *join_in_a_thread(void *context)
{
    CHECK_EQ(pcn_owner_join(context, 0), PCN_OK);
    return NULL;
}

static void join_by_a_thread_that_ends(struct pcn_arena *arena, void *context)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, join_in_a_thread, arena), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(arena->me != 0);
    CHECK(pcn_owner_alive(arena, arena->me));
    family_stay(arena, context);
}

static void a_process_outlives_the_thread_that_joined(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct gate joined = gate_make();
    pid_t child = family_fork_raw(&arena, join_by_a_thread_that_ends, &joined);
    gate_wait(&joined);
    pcn_token token = pcn_token_make(1, pcn_token_slot(arena.me) + 1);
    CHECK(pcn_owner_alive(&arena, token));
    CHECK_EQ(pcn_recover_all(&arena), 0);
    family_kill(child);
    CHECK(!pcn_owner_alive(&arena, token));
    CHECK_EQ(pcn_recover_all(&arena), 1);
}

static void a_forked_child_is_somebody_else(struct pcn_arena *arena, void *context)
{
    pcn_token parent = *(pcn_token *)context;
    CHECK(arena->me != parent);
    CHECK(pcn_owner_alive(arena, parent));
    CHECK(pcn_owner_alive(arena, arena->me));
}

static void fork_does_not_pass_the_life_lock_on(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    pcn_token mine = arena.me;
    for (int i = 0; i < 5; i++)
        CHECK(family_wait(family_fork(&arena, a_forked_child_is_somebody_else, &mine)));
    CHECK(pcn_owner_alive(&arena, mine));
}

struct three {
    struct gate settled, leave;
    pcn_atomic64 middle, grandchild;
    pcn_block_id block;
};

static void be_the_grandchild(struct pcn_arena *arena, void *context)
{
    struct three *three = context;
    prctl(PR_SET_PDEATHSIG, 0); /* outlives its parent: that is the point here */
    pcn_store_relaxed64(&three->grandchild, arena->me);
    gate_open(&three->settled, 1);
    gate_wait(&three->leave);
}

static void be_the_middle(struct pcn_arena *arena, void *context)
{
    struct three *three = context;
    pcn_store_relaxed64(&three->middle, arena->me);
    CHECK_EQ(pcn_block_allocate(arena, 5000, &three->block, true), PCN_OK);
    family_fork(arena, be_the_grandchild, three);
    for (;;)
        pause();
}

static void the_things_of_the_dead_stay_while_its_children_live(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    struct three *three = family_memory(sizeof *three);
    three->settled = gate_make();
    three->leave = gate_make();
    struct gate alive = gate_make();
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the grandchild becomes ours to wait for */
    pid_t middle = family_fork(&arena, be_the_middle, three);
    close(alive.ends[1]);
    gate_wait(&three->settled);
    family_kill(middle);
    pcn_token dead = pcn_load_relaxed64(&three->middle);
    CHECK(!pcn_owner_alive(&arena, dead));
    CHECK_EQ(pcn_recover_all(&arena), 0);
    uint64_t bytes;
    uint32_t count;
    pcn_block_totals(&arena, &bytes, &count);
    CHECK_EQ(count, 1);

    gate_open(&three->leave, 1);
    char byte;
    CHECK_EQ(read(alive.ends[0], &byte, 1), 0);
    CHECK_EQ(pcn_recover_all(&arena), 2);
    pcn_block_totals(&arena, &bytes, &count);
    CHECK_EQ(count, 0);
    CHECK_VALID(pcn_validate_arena(&arena));
    CHECK(wait(NULL) > 0);
}

static void who_is_no_member_may_sweep(void)
{
    struct pcn_arena arena, observer;
    CHECK_EQ(pcn_arena_create(&arena, FAMILY_RESERVE), PCN_OK);
    struct gate gate = gate_make();
    pid_t child = family_fork(&arena, end_by_gate, &gate); /* takes slot 0 */
    gate_open(&gate, 1);
    CHECK(family_wait(child));
    CHECK_EQ(pcn_arena_attach(&observer, dup(arena.fd)), PCN_OK);
    CHECK_EQ(pcn_recover_all(&observer), 1);
    CHECK_EQ(observer.me, 0);
}

/* Asked by way of the mutex, which one of our own threads holds: as an outsider would. */
static void *ask_about_ourselves(void *context)
{
    struct pcn_arena outsider = *(struct pcn_arena *)context;
    pcn_token mine = outsider.me;
    outsider.me = 0;
    CHECK(pcn_owner_alive(&outsider, mine));
    CHECK_EQ(pcn_recover_all(&outsider), 0);
    CHECK(pcn_owner_alive(&outsider, mine));
    return NULL;
}

static void nobody_takes_his_own_process_for_dead(void)
{
    struct pcn_arena arena;
    family_make(&arena);
    ask_about_ourselves(&arena); /* in the thread that holds it */
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, ask_about_ourselves, &arena), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    ask_about_ourselves(&arena);
}

static void join_a_parent_that_is_gone(struct pcn_arena *arena, void *context)
{
    CHECK_EQ(pcn_owner_join(arena, *(pcn_token *)context), PCN_CLOSED);
    CHECK_EQ(arena->me, 0); /* nor the parent's, which fork had copied */
}

static uint64_t generation_of(const struct pcn_arena *arena, uint32_t index)
{
    return pcn_load_relaxed64(&pcn_slot_at(arena, index)->generation);
}

/* Sweepers and who is turned away have names too, if only for a moment. */
static void no_name_is_given_twice(void)
{
    struct pcn_arena arena, outsider;
    family_make(&arena);
    CHECK_EQ(pcn_arena_attach(&outsider, dup(arena.fd)), PCN_OK);
    pcn_token name, gone = 0;
    uint64_t last = 0;
    for (int round = 0; round < 3; round++) {
        family_kill(family_fork_staying(&arena, &name));
        uint32_t index = pcn_token_slot(name);
        CHECK(pcn_token_generation(name) > last);
        last = pcn_token_generation(name);
        if (round > 0) /* a parent that died and was swept */
            CHECK(family_wait(family_fork_raw(&arena, join_a_parent_that_is_gone, &gone)));
        gone = name;
        CHECK_EQ(pcn_recover_all(round == 1 ? &arena : &outsider), round == 0);
        CHECK(generation_of(&arena, index) > last);
        last = generation_of(&arena, index);
        for (uint64_t generation = 0; generation <= last; generation++)
            CHECK(!pcn_owner_alive(&arena, pcn_token_make(generation, index)));
    }
}

static const struct check_case cases[] = {
    CHECK_CASE(nobody_else_is_alive),
    CHECK_CASE(a_token_names_slot_and_generation),
    CHECK_CASE(death_is_seen_before_the_child_is_reaped),
    CHECK_CASE(an_ordinary_end_is_a_death_too),
    CHECK_CASE(a_slot_is_used_again_under_a_new_name),
    CHECK_CASE(joins_at_the_same_time_get_different_slots),
    CHECK_CASE(exactly_one_of_many_sweepers_wins),
    CHECK_CASE(a_process_outlives_the_thread_that_joined),
    CHECK_CASE(fork_does_not_pass_the_life_lock_on),
    CHECK_CASE(the_things_of_the_dead_stay_while_its_children_live),
    CHECK_CASE(who_is_no_member_may_sweep),
    CHECK_CASE(nobody_takes_his_own_process_for_dead),
    CHECK_CASE(no_name_is_given_twice),
};
CHECK_MAIN(cases)
