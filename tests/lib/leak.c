/*
 * A preload library that leaks on purpose, to prove that the sanitizer run catches a leak in
 * every kind of process. The gateway names its processes by prctl(PR_SET_NAME, "postern:
 * KIND"); this stands in front of prctl, and when a process takes the name that POSTERN_LEAK_IN
 * says, it loses one block of memory. "posternd" stands for the parent, which takes no name: it
 * leaks at start. The product knows nothing of this; tests/live/test_sanitizers.py uses it.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { LEAK_BYTES = 4211 };

static void *volatile lost;
static int planted;

__attribute__((noinline)) static void
postern_planted_leak(void)
{
	lost = malloc(LEAK_BYTES);
	lost = NULL;
}

/* The kind alone, or the kind and a number. */
static int
is_wanted(const char *name)
{
	const char *kind = getenv("POSTERN_LEAK_IN");
	size_t n = kind != NULL ? strlen(kind) : 0;
	return n != 0 && strncmp(name, kind, n) == 0 && (name[n] == '\0' || name[n] == ' ');
}

int
prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;
	va_start(ap, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_NAME && !planted && is_wanted((const char *)a[0])) {
		planted = 1;
		postern_planted_leak();
	}
	int (*next)(int, ...) = (int (*)(int, ...))dlsym(RTLD_NEXT, "prctl");
	return next(option, a[0], a[1], a[2], a[3]);
}

__attribute__((constructor)) static void
leak_in_parent(void)
{
	const char *kind = getenv("POSTERN_LEAK_IN");
	if (kind != NULL && strcmp(kind, "posternd") == 0)
		postern_planted_leak();
}
