"""Scores some customers without a secret: the cluster's token in this pod authenticates the program."""

import argparse
from concurrent.futures import ThreadPoolExecutor

import requests

import doorward

arguments = argparse.ArgumentParser()
arguments.add_argument("--issuer", required=True)
arguments.add_argument("--client-id", required=True)
arguments.add_argument("--assertion-file", required=True, help="the projected service-account token")
arguments.add_argument("--scope")
arguments.add_argument("--api", required=True)
arguments.add_argument("customer", nargs="+")


def main() -> None:
    wanted = arguments.parse_args()
    tokens = doorward.Issuer(wanted.issuer).client_credentials(
        wanted.client_id,
        assertion_file=wanted.assertion_file,
        scope=wanted.scope,
    )

    def score(customer: str) -> str:
        answer = requests.get(f"{wanted.api}/score/{customer}", auth=tokens, timeout=30)
        answer.raise_for_status()
        return answer.text

    with ThreadPoolExecutor(8) as pool:
        for customer, text in zip(wanted.customer, pool.map(score, wanted.customer)):
            print(customer, text)


if __name__ == "__main__":
    main()
