#include "binding.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind_memory.h"
#include "block.h"
#include "owner.h"
#include "platform.h"
#include "recover.h"
#include "validate.h"

#define ARENA_RESERVE ((uint64_t)1 << 40) /* of address space; memory comes with use */

/* One family arena a process: process-wide by nature, so not module state. Written with
 * the GIL held, and by the fork handler in the child, which is alone. */
struct pcn_arena family = {.fd = -1};
static pcn_token parent;
/* Its parent, and so on; the nearest first. Whoever leaves a fork behind and ends at once (to
 * make a daemon) may be gone before that joins: it is then a child of the next one's. */
#define ANCESTORS 16
static pcn_token ancestors[ANCESTORS];
static bool fork_handler_set;
static uint64_t generation; /* forks that led here, since the first of them that joined */
static dev_t device; /* of the arena's memory file: programs close descriptors that they */
static ino_t inode;  /* do not know (to become a daemon), and the number is another's then */
static bool stays_out;
static PyObject *on_smaller; /* called when an arena has less room than was wanted; or NULL */
static char called[PCN_NAME_ROOM] = "MainProcess";

static void after_fork_in_child(void)
{
    if (family.me != 0) { /* else this process never joined: its own parent is theirs */
        memmove(ancestors + 1, ancestors, sizeof ancestors - sizeof *ancestors);
        ancestors[0] = parent;
        parent = family.me;
    }
    family.me = 0;
    generation++;
}

bool family_has_descriptor(void)
{
    struct stat about;
    return fstat(family.fd, &about) == 0 && about.st_dev == device && about.st_ino == inode;
}

static PyObject *raise_closed(void)
{
    PyErr_SetString(PyExc_OSError, "this program closed the shared arena's descriptor "
                    "(os.closerange()?): close what you do not know before the first use of a "
                    "pool, or use pools in a child that closes it");
    return NULL;
}

PyObject *raise_status(enum pcn_status status)
{
    switch (status) {
    case PCN_NO_MEMORY:
        if (family.base && !family_has_descriptor())
            return raise_closed();
        if (errno == EMFILE || errno == ENFILE)
            return PyErr_SetFromErrno(PyExc_OSError);
        if (errno == EDQUOT)
            return raise_full(&family, 0);
        if (errno == EOVERFLOW) {
            PyErr_Format(PyExc_MemoryError, "all places for shared objects (%u), or for who holds "
                         "them (%u), are taken: drop locks, queues and values that are not needed "
                         "any more, or put many values into one array", PCN_MAX_OBJECTS,
                         PCN_MAX_HOLDS);
            break;
        }
        PyErr_Format(PyExc_MemoryError, "the shared arena can not grow: %s; free memory, or "
                     "send less at once", strerror(errno));
        break;
    case PCN_CLOSED:
        PyErr_SetString(PyExc_RuntimeError, "the process that forked this one has ended, and its "
                        "part of the shared arena with it");
        break;
    case PCN_REFUSED:
        PyErr_SetString(PyExc_RuntimeError, "this descriptor is no arena of this version");
        break;
    default:
        PyErr_Format(PyExc_SystemError, "procession core: unexpected status %d", (int)status);
    }
    return NULL;
}

int timeout_argument(PyObject *argument, uint64_t *nanoseconds)
{
    if (argument == Py_None) {
        *nanoseconds = UINT64_MAX;
        return 0;
    }
    double seconds = PyFloat_AsDouble(argument);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (seconds != seconds) {
        PyErr_SetString(PyExc_ValueError, "a timeout must be a number of seconds, not nan");
        return -1;
    }
    if (seconds <= 0)
        *nanoseconds = 0;
    else
        *nanoseconds = seconds > 1e9 ? UINT64_MAX : (uint64_t)(seconds * 1e9);
    return 0;
}

/* An arena whose descriptor is gone can not grow: a process that did not join it yet makes its
 * own. (One that did may hold things in it.) The old one stays mapped: a forked child may look at
 * what its parent had there. */
static enum pcn_status create(void)
{
    parent = 0;
    memset(ancestors, 0, sizeof ancestors);
    enum pcn_status status = pcn_arena_create(&family, ARENA_RESERVE);
    struct stat about;
    if (status == PCN_OK && fstat(family.fd, &about) == 0) {
        device = about.st_dev;
        inode = about.st_ino;
    }
    return status;
}

/* Whether the budget is as small as it is for want of addresses. */
static bool addresses_are_short(void)
{
    const struct pcn_head *head = pcn_head(&family);
    return family.reserve < head->wanted &&
           pcn_load_relaxed64(&head->budget) >= family.reserve - PCN_DATA_AT;
}

/* A new arena has fewer addresses than were wanted: who reads the program's log is told. */
static void tell_of_smaller(void)
{
    PyObject *told = PyObject_CallFunction(
        on_smaller, "K", (unsigned long long)pcn_load_relaxed64(&pcn_head(&family)->budget));
    if (!told)
        PyErr_WriteUnraisable(on_smaller);
    Py_XDECREF(told);
}

struct pcn_arena *family_enter(void)
{
    enum pcn_status status = PCN_OK;
    bool is_new = !family.base || !family_has_descriptor();
    if (is_new)
        status = create();
    if (status == PCN_OK && !fork_handler_set) {
        if (pthread_atfork(NULL, NULL, after_fork_in_child) != 0)
            status = PCN_NO_MEMORY;
        else
            fork_handler_set = true;
    }
    if (status == PCN_OK)
        status = pcn_owner_join(&family, parent);
    for (int i = 0; status == PCN_CLOSED && i < ANCESTORS && ancestors[i] != 0; i++)
        status = pcn_owner_join(&family, ancestors[i]);
    if (status != PCN_OK) {
        raise_status(status);
        return NULL;
    }
    family_write_name(&family);
    if (is_new && on_smaller && addresses_are_short())
        tell_of_smaller();
    return &family;
}

struct pcn_arena *family_arena_if_joined(void)
{
    return family.me != 0 ? &family : NULL;
}

uint64_t family_number(void)
{
    return (uint64_t)inode ^ (uint64_t)device << 40;
}

uint64_t family_generation(void)
{
    return generation;
}

bool family_stays_out(void)
{
    return stays_out;
}

void family_name(const char *name)
{
    snprintf(called, sizeof called, "%s", name);
}

void family_write_name(struct pcn_arena *arena)
{
    struct pcn_slot *slot = pcn_slot_at(arena, pcn_token_slot(arena->me));
    memcpy(slot->name, called, sizeof slot->name);
}

static PyObject *stay_out(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    stays_out = true;
    Py_RETURN_NONE;
}

static PyObject *join(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    return arena ? PyLong_FromUnsignedLongLong(arena->me) : NULL;
}

static PyObject *adopt(PyObject *module, PyObject *args)
{
    (void)module;
    int fd;
    unsigned long long by;
    if (!PyArg_ParseTuple(args, "iK", &fd, &by))
        return NULL;
    if (family.me != 0) {
        PyErr_SetString(PyExc_RuntimeError, "this process has an arena already");
        return NULL;
    }
    stays_out = false;
    /* One that the process which forked this one had stays mapped: it may hold things in it. */
    struct stat about;
    enum pcn_status status =
        fstat(fd, &about) == 0 ? pcn_arena_attach(&family, fd) : PCN_REFUSED;
    if (status != PCN_OK)
        return raise_status(status);
    device = about.st_dev;
    inode = about.st_ino;
    parent = by;
    memset(ancestors, 0, sizeof ancestors);
    return join(module, NULL);
}

static PyObject *descriptor(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    if (!family_arena())
        return NULL;
    if (!family_has_descriptor()) /* another file may have its number by now */
        return raise_closed();
    return PyLong_FromLong(family.fd);
}

static PyObject *alive(PyObject *module, PyObject *token)
{
    (void)module;
    unsigned long long whom = PyLong_AsUnsignedLongLong(token);
    if (PyErr_Occurred() || !family_arena())
        return NULL;
    return PyBool_FromLong(pcn_owner_alive(&family, whom));
}

static PyObject *sweep(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    uint32_t freed = 0;
    if (family.me != 0) {
        Py_BEGIN_ALLOW_THREADS
        freed = pcn_recover_all(&family);
        Py_END_ALLOW_THREADS
        release_what_children_have(&family);
    }
    return PyLong_FromUnsignedLong(freed);
}

static PyObject *trim(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    if (!family_arena())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pcn_block_trim(&family);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *statistics(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    uint64_t bytes = 0, wanted = 0, budget = 0, paged = 0, warm_free = 0;
    uint32_t blocks = 0, slots = 0, freed = 0;
    if (family.base) {
        const struct pcn_head *head = pcn_head(&family);
        pcn_block_totals(&family, &bytes, &blocks);
        wanted = head->wanted;
        slots = pcn_load_relaxed32(&head->slots_high);
        budget = pcn_load_relaxed64(&head->budget);
        paged = pcn_load_relaxed64(&head->paged);
        warm_free = pcn_load_relaxed64(&head->warm_free);
        freed = pcn_load_relaxed32(&head->freed);
    }
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:I,s:I,s:K,s:K,s:K,s:I}", "reserved",
        (unsigned long long)family.reserve, "wanted", (unsigned long long)wanted, "used",
        (unsigned long long)(family.base ? pcn_file_used(family.fd) : 0), "block_bytes",
        (unsigned long long)bytes, "blocks", (unsigned)blocks, "slots", (unsigned)slots, "budget",
        (unsigned long long)budget, "paged", (unsigned long long)paged, "warm_free",
        (unsigned long long)warm_free, "freed", (unsigned)freed);
}

static PyObject *memory_budget(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *bytes = Py_None;
    if (!PyArg_ParseTuple(args, "|O", &bytes))
        return NULL;
    unsigned long long budget = 0;
    if (bytes != Py_None) {
        budget = PyLong_AsUnsignedLongLong(bytes);
        if (PyErr_Occurred())
            return NULL;
        if (budget == 0) {
            PyErr_SetString(PyExc_ValueError, "a budget must be a number of bytes above 0");
            return NULL;
        }
    }
    if (!family_arena())
        return NULL;
    if (budget != 0) {
        Py_BEGIN_ALLOW_THREADS
        pcn_block_set_budget(&family, budget);
        Py_END_ALLOW_THREADS
    }
    return PyLong_FromUnsignedLongLong(pcn_block_budget(&family));
}

static PyObject *validate(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    const char *wrong = family.base ? pcn_validate_arena(&family) : NULL;
    if (!wrong)
        Py_RETURN_NONE;
    return PyUnicode_FromString(wrong);
}

static PyObject *fork_process(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    PyOS_BeforeFork();
    pid_t pid = fork();
    int reason = errno;
    if (pid == 0)
        PyOS_AfterFork_Child();
    else
        PyOS_AfterFork_Parent();
    if (pid < 0) {
        errno = reason;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(pid);
}

static PyObject *when_smaller(PyObject *module, PyObject *function)
{
    (void)module;
    PyObject *before = on_smaller;
    on_smaller = Py_NewRef(function);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyMethodDef family_methods[] = {
    {"join", join, METH_NOARGS, "join(): make or enter the family arena; this process's token."},
    {"adopt", adopt, METH_VARARGS,
     "adopt(fd, parent): enter the arena behind `fd`, which is this process's from then on, as a "
     "child of the process with the token `parent`; this process's token."},
    {"arena_descriptor", descriptor, METH_NOARGS,
     "arena_descriptor(): the arena's memory file, to be handed to a child."},
    {"when_smaller", when_smaller, METH_O,
     "when_smaller(function): have function(budget) called when this process makes an arena "
     "whose budget is smaller for want of addresses."},
    {"stay_out", stay_out, METH_NOARGS,
     "stay_out(): this process makes no arena of its own (until it has to): a fork server, whose "
     "children adopt() one."},
    {"alive", alive, METH_O, "alive(token): does the process of this token live?"},
    {"sweep", sweep, METH_NOARGS, "sweep(): return what dead processes held (if this one has an arena); how many."},
    {"trim", trim, METH_NOARGS, "trim(): give the pages of free blocks back to the system."},
    {"arena_statistics", statistics, METH_NOARGS,
     "arena_statistics(): bytes of addresses that were reserved, and wanted; of memory in use; of "
     "blocks that somebody has; how many blocks, slots; the budget; bytes of blocks with pages, and "
     "of the free ones among them; how often blocks were freed (modulo 2**32); a dict."},
    {"memory_budget", memory_budget, METH_VARARGS,
     "memory_budget(new=None, /): bytes of memory that the family's blocks may have; from now on "
     "`new`, if it is given. What is in use stays, also above it."},
    {"validate", validate, METH_NOARGS,
     "validate(): None, or what is wrong with the arena's structures."},
    {"fork", fork_process, METH_NOARGS,
     "fork(): as os.fork(), without its warning about other threads."},
    {NULL, NULL, 0, NULL},
};
