#define _GNU_SOURCE
#include "owner.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "failpoint.h"
#include "platform.h"
#include "recover.h"

/* Where a family's first process makes its arena in a thread that may end before it, a
 * thread of our own holds the life lock: a robust mutex belongs to a thread. */
struct keeper {
    struct pcn_arena *arena;
    pcn_token parent;
    enum pcn_status status;
    pthread_mutex_t done_lock;
    pthread_cond_t done;
    bool finished;
};

/* Make the next slot usable; under slots_lock. The slot counts once slots_high says
 * so; a death before leaves a raw slot, made anew by the next. */
static enum pcn_status grow(struct pcn_arena *arena)
{
    struct pcn_head *head = pcn_head(arena);
    uint32_t index = pcn_load_relaxed32(&head->slots_high);
    if (index >= PCN_MAX_SLOTS)
        return PCN_NO_MEMORY;
    uint64_t at = PCN_SLOTS_AT + (uint64_t)index * PCN_SLOT_SIZE;
    int refused = pcn_reserve_pages(arena->fd, at, PCN_SLOT_SIZE);
    if (refused) {
        errno = refused;
        return PCN_NO_MEMORY;
    }
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    if (pcn_life_init(&slot->life) != 0)
        return PCN_NO_MEMORY;
    pcn_store_relaxed64(&slot->generation, 0);
    pcn_store_relaxed32(&slot->state, PCN_SLOT_FREE);
    PCN_FAILPOINT("owner.grow.made");
    /* SYNC(owner.slot): the slot's mutex is made before the slot is counted. */
    pcn_store_release32(&head->slots_high, index + 1);
    return PCN_OK;
}

pcn_token pcn_owner_begin(const struct pcn_arena *arena, uint32_t index)
{
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    uint64_t generation = pcn_load_relaxed64(&slot->generation) + 1;
    /* SYNC(owner.death): we hold the dead one's mutex and so see all that it wrote; who
     * learns of its death by the generation alone must see that too. */
    pcn_store_release64(&slot->generation, generation);
    return pcn_token_make(generation, index);
}

/* Does the slot still belong to the process that `token` names, or to what it left? */
static bool in_place(const struct pcn_arena *arena, pcn_token token)
{
    uint32_t index = pcn_token_slot(token);
    /* SYNC(owner.slot): a counted slot is ready to be asked. */
    if (index >= pcn_load_acquire32(&pcn_head(arena)->slots_high))
        return false;
    const struct pcn_slot *slot = pcn_slot_at(arena, index);
    /* SYNC(owner.parent): who sees the state of a newer life sees its generation, too; so
     * the state first. */
    return pcn_load_acquire32(&slot->state) == PCN_SLOT_TAKEN &&
           pcn_load_relaxed64(&slot->generation) == pcn_token_generation(token);
}

/* Try to become the owner of slot `index`. PCN_BUSY: somebody has it. */
static enum pcn_status take(struct pcn_arena *arena, uint32_t index, pcn_token parent)
{
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    if (!pcn_life_try(&slot->life))
        return PCN_BUSY;
    PCN_FAILPOINT("owner.take.locked");
    if (pcn_load_relaxed32(&slot->state) != PCN_SLOT_FREE &&
        pcn_recover_slot(arena, index) != PCN_OK) {
        pcn_life_leave(&slot->life);
        return PCN_BUSY; /* its children are still there: its things may be in use */
    }
    pcn_token me = pcn_owner_begin(arena, index);
    PCN_FAILPOINT("owner.take.begun");
    pcn_store_relaxed64(&slot->parent, parent);
    pcn_store_relaxed32(&slot->pid, (uint32_t)getpid());
    /* SYNC(owner.leaving): who sees this sees that the last one's things were swept. */
    pcn_store_release32(&slot->leaving, 0);
    memset(slot->name, 0, sizeof slot->name);
    PCN_FAILPOINT("owner.take.named");
    /* SYNC(owner.parent): not seen before the generation; a child of an older one looks. */
    pcn_store_release32(&slot->state, PCN_SLOT_TAKEN);
    PCN_FAILPOINT("owner.take.taken");
    /* SYNC(owner.parent): we are there before we look whether our parent is; its sweeper
     * marks it before it looks for us. One of the two sees the other. */
    pcn_fence_seq_cst();
    if (parent != 0 && !in_place(arena, parent)) {
        pcn_store_relaxed32(&slot->state, PCN_SLOT_FREE);
        pcn_life_leave(&slot->life);
        return PCN_CLOSED;
    }
    arena->me = me;
    return PCN_OK;
}

static enum pcn_status join_here(struct pcn_arena *arena, pcn_token parent)
{
    struct pcn_head *head = pcn_head(arena);
    for (;;) {
        /* SYNC(owner.slot): a counted slot's mutex is ready to use. */
        uint32_t high = pcn_load_acquire32(&head->slots_high);
        for (uint32_t index = 0; index < high; index++) {
            enum pcn_status status = take(arena, index, parent);
            if (status != PCN_BUSY)
                return status;
        }
        /* A plain robust mutex: the owner of a lock of ours is named by a token, and this
         * process has none yet. Nothing to repair after a death, see grow(). */
        pcn_life_take(&head->slots_lock);
        enum pcn_status status = PCN_OK;
        if (pcn_load_relaxed32(&head->slots_high) == high)
            status = grow(arena);
        pcn_life_leave(&head->slots_lock);
        if (status != PCN_OK)
            return status;
    }
}

static void *keep(void *argument)
{
    struct keeper *keeper = argument;
    enum pcn_status status = join_here(keeper->arena, keeper->parent);
    pthread_mutex_lock(&keeper->done_lock);
    keeper->status = status;
    keeper->finished = true;
    pthread_cond_signal(&keeper->done);
    pthread_mutex_unlock(&keeper->done_lock);
    while (status == PCN_OK)
        pause();
    return NULL;
}

static enum pcn_status join_in_keeper(struct pcn_arena *arena, pcn_token parent)
{
    struct keeper keeper = {.arena = arena,
                            .parent = parent,
                            .done_lock = PTHREAD_MUTEX_INITIALIZER,
                            .done = PTHREAD_COND_INITIALIZER};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, keep, &keeper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        errno = failed;
        return PCN_NO_MEMORY;
    }
    pthread_detach(thread);
    pthread_mutex_lock(&keeper.done_lock);
    while (!keeper.finished)
        pthread_cond_wait(&keeper.done, &keeper.done_lock);
    pthread_mutex_unlock(&keeper.done_lock);
    return keeper.status;
}

enum pcn_status pcn_owner_join(struct pcn_arena *arena, pcn_token parent)
{
    /* After a fork this is the parent's token still: nothing may be done under it. */
    arena->me = 0;
    return pcn_is_main_thread() ? join_here(arena, parent) : join_in_keeper(arena, parent);
}

bool pcn_owner_alive(const struct pcn_arena *arena, pcn_token token)
{
    uint32_t index = pcn_token_slot(token);
    if (token == 0)
        return false;
    if (token == arena->me)
        return true;
    /* SYNC(owner.slot): a counted slot's mutex is ready to use. */
    if (index >= pcn_load_acquire32(&pcn_head(arena)->slots_high))
        return false;
    struct pcn_slot *slot = pcn_slot_at(arena, index);
    /* SYNC(owner.death): who is told "dead" sees what the dead one wrote. */
    if (pcn_load_acquire64(&slot->generation) != pcn_token_generation(token))
        return false;
    if (!pcn_life_try(&slot->life))
        return true;
    pcn_life_leave(&slot->life);
    return false;
}
