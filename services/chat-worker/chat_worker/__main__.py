"""`python -m chat_worker`"""

from functools import partial

from chat_worker.bootstrap import SERVICE, start
from chat_worker.settings import Settings
from common.assistants import AssistantNotFound
from common.service import read_settings, refuse, serve

if __name__ == "__main__":
    settings = read_settings(Settings)
    try:
        serve(SERVICE, settings, partial(start, settings))
    except AssistantNotFound as error:
        refuse(str(error))
