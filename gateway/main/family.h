/*
 * The parent's processes: which there are, how each begins, the channels between them, and what
 * happens when one ends. Start, reload and crash are one path: a process that should run and
 * does not is started.
 */
#ifndef MAIN_FAMILY_H
#define MAIN_FAMILY_H

#include "io/control.h"
#include "io/loop.h"
#include "main/generation.h"

struct family;

/* programs: the folder of posternd; postern-scanner and postern-engine are there or in libexec.
 */
struct family *family_new(struct loop *l, const char *programs, struct err *err);
void family_free(struct family **f);
/* There may be only so many session processes; those of older generations may still be ending.
 */
bool family_has_room(const struct family *f, const struct generation *g);
/*
 * Starts the processes of a generation, for which there is room; those of the one before are
 * told to stop when all of the new ones are ready. Owns g from here on.
 */
void family_start(struct family *f, struct generation *g);
/* SIGTERM: sessions first, then those that serve them; the loop stops when all are gone. */
void family_stop(struct family *f);
/* SIGCHLD. */
void family_reap(struct family *f);
const struct generation *family_generation(const struct family *f);
/* Its changed files made no new generation: only another change is worth a try. */
void family_files_seen(struct family *f);

#endif
