/*
 * The file of the state as a failing disk might leave it: whatever stands in it, the engine
 * opens, lists, answers, and writes a file that it can read again. What LMDB cannot bear has to
 * be found before it maps the file.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "state/local.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MOST = 1 << 20 };

static void
on_page(void *arg, const struct state_item *items, size_t n, struct slice next, bool failed)
{
	(void)arg;
	(void)items;
	(void)next;
	must(n == 0 || !failed);
}

static void
on_answers(void *arg, const struct state_answer *answers, size_t n)
{
	uint64_t *count = arg;
	must(n == 1 && answers[0].status == STATE_OK);
	*count = answers[0].count;
}

static int
open_folder(char folder[32])
{
	snprintf(folder, 32, "/tmp/state_fuzz.XXXXXX");
	must(mkdtemp(folder) != NULL);
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(dir >= 0);
	return dir;
}

static void
remove_folder(const char *folder, int dir)
{
	struct dirent *d;
	DIR *list = opendir(folder);
	must(list != NULL);
	while ((d = readdir(list)) != NULL)
		(void)unlinkat(dir, d->d_name, 0);
	closedir(list);
	close(dir);
	must(rmdir(folder) == 0);
}

static uint64_t
use(int dir)
{
	struct state_op op = {.kind = STATE_COUNT,
		.space = STATE_QUOTA,
		.key = SLICE("user a 1000/month"),
		.limit = STATE_LIMIT_MOST,
		.period = PERIOD_MONTH,
		.n = 1};
	struct err err;
	uint64_t count = 0;
	struct state *s = local_open(&(struct local_config){.dir_fd = dir}, &err);
	must(s != NULL);
	for (int space = 0; space < STATE_SPACES; space++)
		s->calls->list(
			s, (enum state_space)space, SLICE_NONE, SLICE_NONE, on_page, NULL);
	s->calls->ask(s, &op, 1, on_answers, &count);
	for (int i = 0; i < 2; i++) {
		(void)s->calls->flush(s, &err);
		(void)local_settle(s, &err);
	}
	s->calls->close(&s);
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char folder[32];
	if (size > SIZE_MOST)
		return 0;
	int dir = open_folder(folder);
	int fd = openat(dir, "data.mdb", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	uint64_t count = use(dir);
	must(count == 0 || use(dir) == (count < STATE_LIMIT_MOST ? count + 1 : count));
	remove_folder(folder, dir);
	return 0;
}
