#define _GNU_SOURCE
/* A forked child has its parent's handles before it has holds of its own. So until it has
 * settled, the parent keeps every object that it held when it forked. */
#include "bind_object.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "owner.h"

struct kept {
    uint32_t hold;
    uint64_t forks; /* how often we had forked when it was made */
};

struct child {
    pid_t pid;
    uint64_t forks; /* which fork made it */
};

static uint64_t forks;
/* Forks by others (os.fork()): we do not know the child by number, but it says when it has
 * settled. How many there were, and which fork was the last of them. */
static uint32_t strangers;
static uint64_t last_stranger;
static bool fork_is_ours;
static struct kept *kept;
static size_t kept_count, kept_room;
static struct child *children; /* that have not settled, as far as we know */
static size_t child_count, child_room;

uint64_t forks_so_far(void)
{
    return forks;
}

/* Room for one more; false if there is no memory. */
static bool make_room(void **table, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    size_t larger = *room ? *room * 2 : 16;
    void *moved = realloc(*table, larger * size);
    if (!moved)
        return false;
    *table = moved;
    *room = larger;
    return true;
}

static bool has_settled(const struct pcn_arena *arena, pid_t pid)
{
    siginfo_t ended;
    memset(&ended, 0, sizeof ended);
    if (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == pid)
        return true; /* no child of ours any more, or at its end */
    /* SYNC(owner.slot): a counted slot is ready to be read. */
    uint32_t high = pcn_load_acquire32(&pcn_head(arena)->slots_high);
    for (uint32_t index = 0; index < high; index++) {
        const struct pcn_slot *slot = pcn_slot_at(arena, index);
        if (pcn_load_relaxed32(&slot->pid) == (uint32_t)pid &&
            pcn_load_relaxed64(&slot->parent) == arena->me)
            /* SYNC(settle.done): its holds are there before it says so. */
            return pcn_load_acquire32(&slot->settled) != 0;
    }
    return false;
}

static void look_after_children(const struct pcn_arena *arena)
{
    const struct pcn_slot *mine = pcn_slot_at(arena, pcn_token_slot(arena->me));
    /* SYNC(settle.done): as above. */
    if (pcn_load_acquire32(&mine->settled_strangers) == strangers)
        last_stranger = 0;
    for (size_t i = child_count; i-- > 0;) {
        if (has_settled(arena, children[i].pid))
            children[i] = children[--child_count];
    }
}

/* May a child that was forked after the object was made still be without its hold? */
static bool is_needed(uint64_t born)
{
    if (last_stranger > born)
        return true;
    for (size_t i = 0; i < child_count; i++) {
        if (children[i].forks > born)
            return true;
    }
    return false;
}

static void release_kept(struct pcn_arena *arena)
{
    for (size_t i = kept_count; i-- > 0;) {
        if (!is_needed(kept[i].forks)) {
            pcn_object_release(arena, kept[i].hold);
            kept[i] = kept[--kept_count];
        }
    }
}

void release_what_children_have(struct pcn_arena *arena)
{
    if (child_count != 0 || last_stranger != 0)
        look_after_children(arena);
    if (kept_count != 0)
        release_kept(arena);
}

static bool stays_behind(const struct handle *handle)
{
    return handle->kind->stays_behind && handle->kind->stays_behind(handle);
}

void release_or_keep(struct pcn_arena *arena, struct handle *handle)
{
    release_what_children_have(arena);
    if (stays_behind(handle) || !is_needed(handle->forks)) {
        pcn_object_release(arena, handle->hold);
    } else if (make_room((void **)&kept, kept_count, &kept_room, sizeof *kept)) {
        kept[kept_count++] = (struct kept){handle->hold, handle->forks};
    } /* else it lives as long as this process does */
}

void settle_later(pid_t child)
{
    fork_is_ours = false;
    if (child < 0 || !bound_handles)
        return; /* no child, or nothing to take over */
    if (make_room((void **)&children, child_count, &child_room, sizeof *children))
        children[child_count++] = (struct child){child, forks};
    else
        last_stranger = forks;
}

static PyObject *before_fork(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    forks++;
    if (!fork_is_ours && bound_handles) {
        strangers++;
        last_stranger = forks;
    }
    Py_RETURN_NONE;
}

void expect_own_fork(void)
{
    fork_is_ours = true;
}

/* Tell the parent, in its slot, that a child it does not know has settled. */
static void tell_parent(const struct pcn_arena *arena)
{
    pcn_token parent =
        pcn_load_relaxed64(&pcn_slot_at(arena, pcn_token_slot(arena->me))->parent);
    struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(parent));
    if (pcn_load_relaxed64(&slot->generation) != pcn_token_generation(parent))
        return; /* it has died */
    uint32_t seen = pcn_load_relaxed32(&slot->settled_strangers);
    /* SYNC(settle.done): the holds before the word that they are there. */
    while (!pcn_cas_acq_rel32(&slot->settled_strangers, &seen, seen + 1))
        continue;
}

static PyObject *settle(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    bool is_stranger = !fork_is_ours;
    /* What the parent kept for its other children is held by the parent. */
    kept_count = child_count = 0;
    strangers = 0;
    last_stranger = 0;
    fork_is_ours = false;
    if (!bound_handles || family_stays_out())
        Py_RETURN_NONE;
    struct pcn_arena *arena = family_arena();
    if (!arena)
        return NULL;
    for (struct handle *handle = bound_handles, *next; handle; handle = next) {
        next = handle->next; /* it is linked anew, in front */
        if (stays_behind(handle))
            handle_stay_behind(handle);
        else if (handle->bound != arena->me && handle->arena == family_number() &&
                 handle_rebind(handle, arena) < 0)
            PyErr_Clear(); /* its next use says so */
    }
    struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(arena->me));
    /* SYNC(settle.done): as above. */
    pcn_store_release32(&slot->settled, 1);
    if (is_stranger && !family_is_orphan())
        tell_parent(arena);
    Py_RETURN_NONE;
}

static PyObject *leave(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    struct pcn_arena *arena = family_arena_if_joined();
    if (arena)
        pcn_store_relaxed32(&pcn_slot_at(arena, pcn_token_slot(arena->me))->leaving, 1);
    Py_RETURN_NONE;
}

static PyObject *call_me(PyObject *module, PyObject *name)
{
    (void)module;
    struct pcn_arena *arena = family_arena_if_joined();
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text)
        return NULL;
    family_name(text);
    if (arena)
        family_write_name(arena);
    Py_RETURN_NONE;
}

PyMethodDef settle_methods[] = {
    {"before_fork", before_fork, METH_NOARGS,
     "before_fork(): to be called before each fork; see settle()."},
    {"settle", settle, METH_NOARGS,
     "settle(): in a forked child: take holds of its own on all that it inherited."},
    {"leave", leave, METH_NOARGS, "leave(): this process is about to end by itself."},
    {"call_me", call_me, METH_O, "call_me(name): what this process is called in reports."},
    {NULL, NULL, 0, NULL},
};
