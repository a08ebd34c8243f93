"""Scores customers in ten tasks: ten calls of an API, one token."""

import os

from airflow.sdk import dag, task

from doorward.airflow import DoorwardHook

API = os.environ.get("CHURN_URL", "https://churn.example")


@dag(schedule=None, catchup=False)
def scores():
    @task
    def score(customer: int) -> str:
        with DoorwardHook().session() as session:
            answer = session.get(f"{API}/score/{customer}", timeout=30)
        answer.raise_for_status()
        return answer.text

    score.expand(customer=list(range(10)))


scores()
