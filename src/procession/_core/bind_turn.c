/* One at a time, whatever interrupts: no Python code runs between the claim of a turn and
 * its work, nor between the work and the end of the turn. In Python a signal handler that
 * raises could come in at both places, and leave the turn taken for ever. */
#include "binding.h"

static PyObject *exclusively(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 2 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "exclusively(holder, work)");
        return NULL;
    }
    if (PyDict_Size(args[0]) > 0)
        Py_RETURN_FALSE;
    if (PyDict_SetItem(args[0], Py_None, Py_None) < 0)
        return NULL;
    PyObject *result = PyObject_CallFunctionObjArgs(args[1], NULL);
    PyDict_Clear(args[0]);
    if (!result)
        return NULL;
    Py_DECREF(result);
    Py_RETURN_TRUE;
}

PyMethodDef turn_methods[] = {
    {"exclusively", (PyCFunction)(void (*)(void))exclusively, METH_FASTCALL,
     "exclusively(holder, work): call work() unless a call with the same dict `holder` is at "
     "it, in any thread; whether it was called."},
    {NULL, NULL, 0, NULL},
};
