"""Jobs: waiting, awaiting, arrays."""

import typing as tp
from collections.abc import Iterable, Iterator

import cachedmodel as cm


class Training(cm.CachedModel):
    param: int = 12

    @cm.task
    def process(self) -> float:
        return self.param * 2.0

    @cm.task
    def name(self) -> str:
        return ""

    @cm.map(item_uid=str)
    def embed(self, items: Iterable[int]) -> Iterator[str]:
        yield ""


xp = Training()
job = xp.process.job()
tp.assert_type(job, cm.Job[float])
tp.assert_type(job.result(), float)
tp.assert_type(job.result(timeout=3), float)
tp.assert_type(job.done(), bool)
tp.assert_type(job.wait(1.0), bool)
tp.assert_type(job.status(), cm.Status)
tp.assert_type(job.exception(), BaseException | None)
tp.assert_type(job.stdout(), str)
tp.assert_type(job.job_id, str | None)
if job.status() == "complete":  # E
    pass
wrong: str = job.result()  # E


async def awaited() -> None:
    tp.assert_type(await xp.process.job(), float)
    tp.assert_type(await xp.embed.submit([1]), list[str])
    await xp.process()  # E
    await xp.process  # E


tp.assert_type(cm.job_array([xp.process, Training(param=2).process]), list[cm.Job[float]])
tp.assert_type(cm.job_array(Training(param=k).name for k in range(3))[0].result(), str)
cm.job_array([xp])  # E
cm.job_array([xp.embed])  # E

with xp.process.job_array(max_workers=8) as array:
    array.append(Training(param=1))
    trainings: list[Training] = array
    array.append(xp.infra)  # E only: plugin
for cached in xp.process.iter_cached():
    training: Training = cached
    cached.parm  # E only: plugin
