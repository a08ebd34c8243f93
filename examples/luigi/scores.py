"""Scores customers, each in its own process: forty calls of an API, one token."""

import luigi

from doorward.luigi import TokenTask


class Score(TokenTask, luigi.Task):
    api = luigi.Parameter(significant=False)
    folder = luigi.Parameter(significant=False)
    customer = luigi.IntParameter()

    def output(self):
        return luigi.LocalTarget(f"{self.folder}/{self.customer}.txt")

    def run(self):
        with self.session() as session:
            answer = session.get(f"{self.api}/score/{self.customer}", timeout=30)
        answer.raise_for_status()
        with self.output().open("w") as output:
            output.write(answer.text)


class Scores(luigi.WrapperTask):
    api = luigi.Parameter()
    folder = luigi.Parameter(default="scores")
    customers = luigi.IntParameter(default=40)

    def requires(self):
        return [Score(self.api, self.folder, customer) for customer in range(self.customers)]


if __name__ == "__main__":
    luigi.run()
