/*
 * A start: the segments in their order, each by its sidecar or, where none fits, by a full
 * scan; what the log says then stands in the index. A segment that was open when the process
 * ended is sealed where its last whole commit ends; the writer begins a new one. Damage is
 * counted and told, never a reason not to start.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "custody/files.h"
#include "custody/store_priv.h"
#include "custody/walk.h"

struct found_segment {
	uint32_t sequence;
	int fd;
	uint64_t bytes;
	bool headed, blank; /* the head holds; nothing was ever written */
	bool unread;        /* a part of it could not be read */
	struct segment_head head;
};

static void
log_damage(uint32_t sequence, const char *what, uint64_t records, const struct err *err)
{
	struct log_line l;
	log_begin(&l, EV_SPOOL, NULL);
	log_text(&l, "state", what);
	log_number(&l, "segment", sequence);
	if (records > 0)
		log_number(&l, "records", (int64_t)records);
	if (err != NULL)
		log_text(&l, "error", err->text);
	log_end(&l);
}

static bool
all_zero(const char *p, size_t n)
{
	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	return n == 0;
}

static void
look_at(struct store *s, struct found_segment *f)
{
	char head[SEGMENT_HEAD];
	struct err err;
	f->fd = files_open(s->dir_fd, FILE_SEGMENT, f->sequence, O_RDWR, &err);
	if (f->fd < 0 || files_size(f->fd, &f->bytes, &err) < 0) {
		log_damage(f->sequence, "unreadable", 0, &err);
		return;
	}
	f->blank = f->bytes < SEGMENT_HEAD;
	if (f->blank)
		return;
	if (files_read(f->fd, head, sizeof(head), 0, &err) < 0) {
		log_damage(f->sequence, "unreadable", 0, &err);
		return;
	}
	f->headed = segment_head_unpack(head, &f->head);
	/* Recycled, but the new head was never written: another's old one. */
	f->blank = f->headed ? f->head.sequence != f->sequence : all_zero(head, sizeof(head));
}

/* The full scan; what it found is kept in a sidecar for the next start. */
static void
scan(struct store *s, struct found_segment *f, const struct segment_head *next,
	struct sidecar *sidecar)
{
	struct walk w;
	struct err err;
	bool claimed = next != NULL && next->prior == f->sequence;
	uint64_t limit = claimed && next->prior_end < f->bytes ? next->prior_end : f->bytes;
	bool read_all = walk_segment(f->fd, sidecar->generation, limit, claimed, &w, &err) == 0;
	if (!read_all)
		log_damage(f->sequence, "unreadable", 0, &err);
	if (w.damaged > 0)
		log_damage(f->sequence, "damaged", w.damaged, NULL);
	sidecar->list = w.list;
	sidecar->end = w.end;
	/* Cut, so that what was torn is never met again. A page that cannot be read may be
	 * tomorrow: then nothing is settled today. */
	f->unread = !read_all;
	if (!read_all)
		return;
	if (!claimed && files_cut(f->fd, w.end, &err) == 0)
		f->bytes = w.end;
	if (sidecar_write(s->dir_fd, sidecar, &err) < 0)
		log_damage(f->sequence, "no sidecar", 0, &err);
}

static bool
contents(struct store *s, struct found_segment *f, const struct segment_head *next,
	struct sidecar *sidecar)
{
	bool good = sidecar_read(s->dir_fd, f->sequence, sidecar);
	if (good && f->headed && sidecar->generation != f->head.generation)
		good = false;
	/* A segment that failed ends where its successor says. */
	if (good && next != NULL && next->prior == f->sequence &&
		next->prior_end < sidecar->end)
		good = false;
	if (good)
		return true;
	placed_fini(&sidecar->list);
	*sidecar = (struct sidecar){.sequence = f->sequence, .generation = f->head.generation};
	if (f->headed) {
		scan(s, f, next, sidecar);
		return true;
	}
	log_damage(f->sequence, "without a head", 0, NULL);
	return false; /* left alone: somebody may know more than we do */
}

static void
take_in(struct store *s, struct found_segment *f, const struct segment_head *next)
{
	struct sidecar sidecar;
	if (f->fd < 0)
		return;
	if (f->blank) {
		if (files_recycle(s->dir_fd, f->sequence) && s->account.n_free < FREE_MOST)
			s->account.free[s->account.n_free++] = f->sequence;
		else
			files_remove(s->dir_fd, FILE_FREE, f->sequence);
		return;
	}
	if (!contents(s, f, next, &sidecar))
		return;
	struct segment *g = state_segment_add(s, f->sequence, sidecar.generation);
	g->bytes = f->bytes;
	g->end = sidecar.end;
	g->sealed = true;
	for (size_t i = 0; i < sidecar.list.n; i++)
		state_apply(s, f->sequence, &sidecar.list.p[i]);
	placed_fini(&sidecar.list);
	s->writer.prior = f->unread ? 0 : f->sequence;
	s->writer.prior_end = g->end;
}

static void
take_in_all(struct store *s, const struct file_list *l)
{
	struct found_segment *all = mem_array(l->n, sizeof(*all));
	for (size_t i = 0; i < l->n; i++) {
		all[i].sequence = l->sequences[i];
		look_at(s, &all[i]);
	}
	for (size_t i = 0; i < l->n; i++) {
		/* Those that never began say nothing about who was before them. */
		size_t k = i + 1;
		while (k < l->n && (!all[k].headed || all[k].blank))
			k++;
		take_in(s, &all[i], k < l->n ? &all[k].head : NULL);
	}
	for (size_t i = 0; i < l->n; i++)
		if (all[i].fd >= 0)
			close(all[i].fd);
	mem_free(all);
}

/* What is free is used again; sidecars without a segment are of no use. */
static void
tidy(struct store *s, const struct file_list lists[FILE_KINDS])
{
	const struct file_list *l = &lists[FILE_FREE];
	for (size_t i = 0; i < l->n; i++) {
		if (s->account.n_free < FREE_MOST)
			s->account.free[s->account.n_free++] = l->sequences[i];
		else
			files_remove(s->dir_fd, FILE_FREE, l->sequences[i]);
	}
	l = &lists[FILE_SIDECAR];
	for (size_t i = 0, k = 0; i < l->n; i++) {
		const struct file_list *segments = &lists[FILE_SEGMENT];
		while (k < segments->n && segments->sequences[k] < l->sequences[i])
			k++;
		if (k == segments->n || segments->sequences[k] != l->sequences[i])
			files_remove(s->dir_fd, FILE_SIDECAR, l->sequences[i]);
	}
}

int
recover(struct store *s, struct err *err)
{
	struct file_list lists[FILE_KINDS];
	if (files_list(s->dir_fd, lists, err) < 0)
		return -1;
	uint32_t highest = 0;
	for (int kind = 0; kind < FILE_KINDS; kind++)
		if (lists[kind].n > 0 && lists[kind].sequences[lists[kind].n - 1] > highest)
			highest = lists[kind].sequences[lists[kind].n - 1];
	s->writer.next_sequence = highest + 1;
	tidy(s, lists);
	take_in_all(s, &lists[FILE_SEGMENT]);
	for (int kind = 0; kind < FILE_KINDS; kind++)
		file_list_fini(&lists[kind]);
	return 0;
}
