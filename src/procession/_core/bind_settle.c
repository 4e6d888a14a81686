#define _GNU_SOURCE
/* A forked child has its parent's handles before it has holds of its own. So until it has
 * settled, the parent keeps every object that it held when it forked.
 *
 * A pipe says when that is over. It is made before the fork; the parent closes the end for
 * writing behind it, and the child once it has settled. So the pipe is at its end when the child
 * has settled, was killed before, or never was there because the fork failed: the kernel sees to
 * that, whoever forks (os.fork(), subprocess, ourselves) and whoever dies. */
#include "bind_object.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "owner.h"

struct kept {
    uint32_t hold;
    uint64_t forks; /* how often we had forked when it was made */
};

struct child {
    uint64_t forks;  /* which fork made it; all there will be while that is not done */
    uint64_t thread; /* which is about to fork; 0 once it has */
    int read_end;    /* -1: there is no pipe */
    int write_end;   /* -1: closed */
    dev_t device;    /* of the pipe: programs close descriptors that they do not know, */
    ino_t inode;     /* and the number is another's then */
};

static uint64_t forks;
static struct kept *kept;
static size_t kept_count, kept_room;
static struct child *children; /* that have not settled, as far as we know */
static size_t child_count, child_room;
static bool children_unknown; /* there was no memory to know one: nothing is released any more */

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

/* Without a pipe nothing is there, and the fork goes on. */
static void open_pipe(struct child *child)
{
    int ends[2];
    struct stat about;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    for (int i = 0; i < 2; i++) {
        /* The lowest number is free by purpose if it is that of a standard stream. */
        int higher = ends[i] > STDERR_FILENO ? ends[i] : fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
        if (higher != ends[i])
            close(ends[i]);
        ends[i] = higher;
    }
    if (ends[0] >= 0 && ends[1] >= 0 && fstat(ends[0], &about) == 0) {
        child->read_end = ends[0];
        child->write_end = ends[1];
        child->device = about.st_dev;
        child->inode = about.st_ino;
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
}

static bool is_open(const struct child *child, int end)
{
    struct stat about;
    return end >= 0 && fstat(end, &about) == 0 && about.st_dev == child->device &&
           about.st_ino == child->inode;
}

static void close_end(const struct child *child, int *end)
{
    if (is_open(child, *end))
        close(*end);
    *end = -1;
}

static bool has_no_children(void)
{
    siginfo_t ended;
    return waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

/* Is it certain that the child holds what it needs, or needs nothing any more? What it holds it
 * took under objects_lock, before it closed its end; so whoever sees the end and takes the lock
 * to release something finds that. */
static bool has_settled(const struct child *child)
{
    if (child->thread != 0)
        return false; /* it may be made only now */
    if (!is_open(child, child->read_end))
        return has_no_children();
    struct pollfd end = {.fd = child->read_end, .events = POLLIN};
    return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
}

static void look_after_children(void)
{
    int error = errno;
    for (size_t i = child_count; i-- > 0;) {
        if (has_settled(&children[i])) {
            close_end(&children[i], &children[i].read_end);
            children[i] = children[--child_count];
        }
    }
    errno = error;
}

/* May a child that was forked after the object was made still be without its hold? */
static bool is_needed(uint64_t born)
{
    if (children_unknown)
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
    look_after_children();
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

static PyObject *before_fork(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    look_after_children();
    if (!bound_handles && child_count == 0)
        Py_RETURN_NONE; /* nothing to take over */
    if (!make_room((void **)&children, child_count, &child_room, sizeof *children)) {
        children_unknown = true;
        Py_RETURN_NONE;
    }
    struct child *child = &children[child_count++];
    *child = (struct child){UINT64_MAX, this_thread(), -1, -1, 0, 0};
    open_pipe(child);
    Py_RETURN_NONE;
}

static PyObject *after_fork(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    int error = errno; /* why the fork failed, if it did */
    for (size_t i = child_count; i-- > 0;) {
        struct child *child = &children[i];
        if (child->thread == this_thread()) {
            /* Other threads may have made objects since before_fork(): the child has those. */
            child->forks = ++forks;
            child->thread = 0;
            close_end(child, &child->write_end);
            break;
        }
    }
    errno = error;
    Py_RETURN_NONE;
}

/* In a child: these are its parent's children, one of them itself, others about to be forked by
 * threads that are not here. Until it has settled, its own end tells the parent that. */
static void forget_children(bool settled)
{
    for (size_t i = 0; i < child_count; i++) {
        close_end(&children[i], &children[i].read_end);
        if (settled)
            close_end(&children[i], &children[i].write_end);
    }
    child_count = 0;
    children_unknown = false;
}

static PyObject *settle(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    kept_count = 0; /* what the parent kept for its other children is held by the parent */
    struct pcn_arena *arena = NULL;
    if (bound_handles && !family_stays_out()) {
        arena = family_arena();
        if (!arena) {
            forget_children(false);
            return NULL;
        }
        for (struct handle *handle = bound_handles, *next; handle; handle = next) {
            next = handle->next; /* it is linked anew, in front */
            if (stays_behind(handle))
                handle_stay_behind(handle);
            else if (handle->bound != arena->me && handle->arena == family_number() &&
                     handle_rebind(handle, arena) < 0)
                PyErr_Clear(); /* its next use says so */
        }
    }
    forget_children(arena || !bound_handles);
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
    {"after_fork", after_fork, METH_NOARGS,
     "after_fork(): in the parent, behind each fork, also one that failed."},
    {"settle", settle, METH_NOARGS,
     "settle(): in a forked child: take holds of its own on all that it inherited."},
    {"leave", leave, METH_NOARGS, "leave(): this process is about to end by itself."},
    {"call_me", call_me, METH_O, "call_me(name): what this process is called in reports."},
    {NULL, NULL, 0, NULL},
};
