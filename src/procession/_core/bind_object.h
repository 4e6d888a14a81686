/* Handles: what the Python objects of locks, queues ... have in common. */
#ifndef PROCESSION_BIND_OBJECT_H
#define PROCESSION_BIND_OBJECT_H

#include "binding.h"

#include "object.h"
#include "spot.h"

#define HANDLE_PARAMETERS 4

struct handle;

struct handle_kind {
    enum pcn_kind kind;
    /* Set the empty body of a new object up, as the handle's parameters say. PCN_OK, or
     * PCN_NO_MEMORY. */
    enum pcn_status (*set_up)(struct pcn_arena *arena, struct handle *handle);
    /* In a forked child: forget what only the parent's process had. May be NULL. */
    void (*forked)(struct handle *handle);
    /* Whether a forked child takes no hold on it: only the parent has a use for it. May be NULL. */
    bool (*stays_behind)(const struct handle *handle);
};

/* Begins the struct of each type whose instances stand for an object in the arena. Handles
 * come to life unbound; bound means: this process has a hold. All of it is private memory. */
struct handle {
    PyObject_HEAD
    const struct handle_kind *kind;
    struct pcn_name name;
    uint32_t hold;
    pcn_token bound;    /* this process's token at the time; 0: never bound */
    uint64_t arena;     /* which one that was: family_number() */
    uint64_t forks;     /* how often this process had forked by then */
    uint64_t parameters[HANDLE_PARAMETERS];
    struct handle *next, *previous; /* all that are bound */
    const void *noted_code; /* note_place(): what it wrote last */
    int noted_offset;
};

/* Make a new object, with the parameters that the caller has filled in. -1 with an exception. */
int handle_create(struct handle *handle, const struct handle_kind *kind);

/* Rebind after a fork, or in another arena (there it is a new object). -1 with an exception. */
int handle_rebind(struct handle *handle, struct pcn_arena *arena);

/* In a forked child: the parent's handle stays the parent's. Its next use takes a hold, if the
 * object is still there. */
void handle_stay_behind(struct handle *handle);

/* The arena, the handle being bound in it; NULL with an exception. To begin each use with. */
static inline struct pcn_arena *handle_arena(struct handle *handle)
{
    struct pcn_arena *arena = family_arena();
    if (!arena || (handle->bound != arena->me && handle_rebind(handle, arena) < 0))
        return NULL;
    return arena;
}

static inline struct pcn_hold *handle_hold(const struct pcn_arena *arena,
                                           const struct handle *handle)
{
    return pcn_hold_at(arena, handle->hold);
}

static inline void *handle_body(const struct pcn_arena *arena, const struct handle *handle)
{
    return pcn_object_body(arena, handle->name.object);
}

/* Give the hold up; the last thing before the memory is freed. */
void handle_drop(struct handle *handle);

/* What is pickled of it, a tuple: a pin keeps the object until it arrives. NULL: exception. */
PyObject *handle_travel(struct handle *handle);

/* The same without a pin: good while somebody holds the object. */
PyObject *handle_name(struct handle *handle);

/* The handle of that type that this process has on an object that is there, or a new one. */
PyObject *handle_on(PyObject *type, struct pcn_name name, uint64_t parameter);

/* What this thread has pickled since pins_so_far_made() said so is going to lie in `carrier`, and
 * ends with that if it is not unpickled; it can still be withdrawn. The method is `_entrust(since)`, METH_O. */
uint64_t pins_so_far_made(void);
void entrust_pins_since(struct handle *carrier, uint64_t since);
void withdraw_pins_since(uint64_t since); /* ... and is not going to arrive */
void forget_pins_since(uint64_t since);   /* ... and has been sent */

/* A call that pickles for a road that entrusts before it publishes: until then the pins end with
 * this process. */
PyObject *unsent_call(PyObject *function, PyObject *args);
PyObject *handle_entrust_method(PyObject *self, PyObject *argument);

/* Become a handle on what travelled. -1 with an exception. */
int handle_arrive(struct handle *handle, const struct handle_kind *kind, PyObject *travelled);

/* For each type's table: its "_travel" and its "__reduce__", both METH_NOARGS. */
PyObject *handle_travel_method(PyObject *self, PyObject *ignored);
PyObject *handle_reduce_method(PyObject *self, PyObject *ignored);

/* Where the Python code that called stands: "function (file:line)". Never fails. */
const char *place_of_caller(struct handle *handle);

/* Write where it was taken to where it is found if this process dies. */
void note_place(struct handle *handle, const struct pcn_arena *arena);

/* Raise OwnerDied for what `dead` holds of it. Always returns NULL. */
PyObject *raise_owner_died(struct handle *handle, pcn_token dead);

/* The calling thread's number, as Python counts them. */
uint64_t this_thread(void);

extern PyMethodDef object_methods[];

/* bind_settle.c: forks, and what parents must keep for children. */
uint64_t forks_so_far(void);
/* Release what was only kept for children that have settled meanwhile. */
void release_what_children_have(struct pcn_arena *arena);
/* Give the hold up now, or once no forked child can need it. */
void release_or_keep(struct pcn_arena *arena, struct handle *handle);
extern PyMethodDef settle_methods[];

/* All handles that are bound, linked by `next`. */
extern struct handle *bound_handles;

#endif
