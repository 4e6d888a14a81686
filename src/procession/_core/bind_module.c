#include "binding.h"

#include "bind_entry.h"
#include "bind_here.h"
#include "bind_ledger.h"
#include "bind_locks.h"
#include "bind_memory.h"
#include "bind_object.h"
#include "bind_queue.h"
#include "bind_waits.h"
#include "channel.h"

/* Every type, one a line; and where those find it that make instances of it. */
static const struct {
    const char *name;
    PyType_Spec *spec;
    PyTypeObject **known;
} types[] = {
    {"Channel", &channel_spec, &channel_type},
    {"Entry", &entry_spec, &entry_type},
    {"FastPath", &fast_path_spec, NULL},
    {"Guarded", &guarded_spec, NULL},
    {"Here", &here_spec, &here_type},
    {"Ledger", &ledger_spec, &ledger_type},
    {"Memory", &memory_spec, &memory_type},
    {"Mutex", &mutex_spec, NULL},
    {"PrivateView", &private_view_spec, &private_view_type},
    {"Semaphore", &semaphore_spec, NULL},
    {"Queue", &queue_spec, NULL},
    {"SimpleQueue", &simple_queue_spec, NULL},
    {"Event", &event_spec, NULL},
    {"Condition", &condition_spec, NULL},
    {"Barrier", &barrier_spec, NULL},
};

static int add_all(PyObject *module)
{
    if (PyModule_AddFunctions(module, family_methods) < 0 ||
        PyModule_AddFunctions(module, failpoint_methods) < 0 ||
        PyModule_AddFunctions(module, turn_methods) < 0 ||
        PyModule_AddFunctions(module, numbers_methods) < 0 ||
        PyModule_AddFunctions(module, outcomes_methods) < 0 ||
        PyModule_AddFunctions(module, object_methods) < 0 ||
        PyModule_AddFunctions(module, settle_methods) < 0 ||
        PyModule_AddFunctions(module, census_methods) < 0 ||
        PyModule_AddFunctions(module, pickle_methods) < 0 ||
        PyModule_AddIntConstant(module, "INLINE_LIMIT", PCN_INLINE_LIMIT) < 0 ||
        PyModule_AddIntConstant(module, "LEAST_APART", LEAST_APART) < 0)
        return -1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        PyObject *type = PyType_FromSpec(types[i].spec);
        int failed = type ? PyModule_AddObjectRef(module, types[i].name, type) : -1;
        if (types[i].known)
            *types[i].known = (PyTypeObject *)Py_XNewRef(type);
        Py_XDECREF(type);
        if (failed < 0)
            return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, add_all},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "procession._core.binding",
    .m_doc = "Python's view of the C core: the family arena and a pool's channel.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_binding(void);

PyMODINIT_FUNC PyInit_binding(void)
{
    return PyModuleDef_Init(&definition);
}
