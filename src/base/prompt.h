/* prompt.h: threads that should have a processor soon after they wake, and threads that can wait;
 * and names of threads. */
#ifndef SHR_BASE_PROMPT_H
#define SHR_BASE_PROMPT_H

/* Asks for short turns of a processor for the calling thread: in return, Linux 6.12 and later lets
 * it interrupt threads with longer ones (runaway views, indexing) at once when it wakes, not at the
 * end of their turn some milliseconds on. It gets no larger share. Older kernels do nothing. */
void shr_prompt_thread(void);

/* Where processors are scarce, the calling thread and those it starts from now on take a smaller
 * share of them than before: by `nice` steps of nice(1), each about a fifth less,
 * down to the last there is. */
void shr_patient_thread(unsigned nice);

/* Of the calling thread, for `top -H`, ps and profilers: at most 15 characters. */
void shr_name_thread(const char *name);

#endif
