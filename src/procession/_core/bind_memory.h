/* Memory: plain shared bytes as Python objects. */
#ifndef PROCESSION_BIND_MEMORY_H
#define PROCESSION_BIND_MEMORY_H

#include "bind_object.h"

#include "memory.h"

#define LEAST_APART 131072u  /* bytes; a buffer of so many travels beside its pickle */
#define LEAST_REFERRED 4096u /* one in frozen memory is named instead of copied from here on */

struct memory {
    struct handle handle;
    pcn_block_id given; /* while it is made: the block that becomes its own; else 0 */
    bool is_mail;       /* made of what is sent, or was received */
    bool is_seen;       /* somebody has a view of it, or had */
};

/* bind_memory.c */
extern PyType_Spec memory_spec;

/* The type, once the module is there. */
extern PyTypeObject *memory_type;

/* This process has, or had, memory that is frozen. */
extern bool memory_froze;

/* A handle on a new object around a block that this process owns, of which `size` bytes count. NULL
 * with an exception. `block` becomes 0 once the object has it; else it is this process's still. */
PyObject *memory_around(pcn_block_id *block, uint64_t size);

/* The bytes of it, unless they reach beyond its end, or are another family's: then NULL with an
 * exception. */
uint8_t *memory_range(struct handle *handle, uint64_t offset, uint64_t length);

/* bind_room.c: a block of this process's, as by pcn_block_allocate_for(). If the budget is used up
 * this waits until others free what they have, without the GIL, for as long as blocks are freed at
 * all and for `timeout` nanoseconds at most (UINT64_MAX: no bound). Returns -1 with an exception:
 * ArenaFull, MemoryError, or what a signal handler raised. To be called without any lock. */
int allocate_patiently(struct pcn_arena *arena, enum pcn_use use, uint64_t length,
                       uint64_t timeout, pcn_block_id *id);

/* The same for who can tell others, again and again while he waits, that there is no room. */
struct crier {
    void (*cry)(const void *who);
    const void *who;
};
int allocate_crying(struct pcn_arena *arena, enum pcn_use use, uint64_t length, uint64_t timeout,
                    struct crier crier, pcn_block_id *id);

/* Raise ArenaFull: `asked` bytes do not fit. Always returns NULL. */
PyObject *raise_full(const struct pcn_arena *arena, uint64_t asked);

/* bind_private.c */
extern PyType_Spec private_view_spec;
extern PyTypeObject *private_view_type;
PyObject *memory_private(PyObject *self, PyObject *args);

/* bind_pickle.c */
extern PyMethodDef pickle_methods[];

/* quick_dumps(): a new reference to bytes, or to None; NULL with an exception. */
PyObject *quick_pickle(PyObject *value);

/* Whether what it raised is what pickle says of an object that may go by value. */
bool is_pickles_refusal(void);

#endif
