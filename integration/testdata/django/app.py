"""An application as its authors write it: Django with its own users and sessions in the
database, in one file. It knows nothing of walrelay.

    DATABASE_URL   its database; the tables are made at the start
    SECRET_KEY     the current one
    PORT           0 takes any

When it listens it says "listening on <port>".
"""

import os
import sys
from socketserver import ThreadingMixIn
from urllib.parse import unquote, urlparse
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings

database = urlparse(os.environ["DATABASE_URL"])
settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database.path.lstrip("/"),
            "USER": unquote(database.username or "postgres"),
            "PASSWORD": unquote(database.password or ""),
            "HOST": database.hostname,
            "PORT": database.port,
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)
django.setup()

from django.contrib.auth import authenticate, get_user_model, login, logout, update_session_auth_hash  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


def me(request):
    return JsonResponse({"user": request.user.get_username() or None})


def log_in(request):
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return JsonResponse({"user": user.get_username()})


def log_out(request):
    logout(request)
    return JsonResponse({"user": None})


def change_password(request):
    """Keeps this session and ends all others, as Django's own view does."""
    request.user.set_password(request.POST["password"])
    request.user.save()
    update_session_auth_hash(request, request.user)
    return JsonResponse({"user": request.user.get_username()})


def theme(request):
    """Changes the session and nothing that says who it is."""
    request.session["theme"] = request.POST["theme"]
    return JsonResponse({"theme": request.POST["theme"]})


def administer(request):
    """What an administrator does to a user: the fields of the form, as the ORM writes them."""
    user = get_user_model().objects.get(username=request.POST["username"])
    if "active" in request.POST:
        user.is_active = request.POST["active"] == "true"
    user.first_name = request.POST.get("first_name", user.first_name)
    user.save()
    if "join" in request.POST:
        user.groups.add(Group.objects.get_or_create(name=request.POST["join"])[0])
    if "leave" in request.POST:
        user.groups.remove(Group.objects.get(name=request.POST["leave"]))
    return JsonResponse({"id": user.pk})


def sign_up(request):
    user = get_user_model().objects.create_user(request.POST["username"], password=request.POST["password"])
    return JsonResponse({"id": user.pk})


urlpatterns = [
    path("me", me),
    path("login", log_in),
    path("logout", log_out),
    path("password", change_password),
    path("theme", theme),
    path("administer", administer),
    path("sign-up", sign_up),
]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    connection.close()
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "0")), get_wsgi_application(), Server, Quiet)
    print(f"listening on {server.server_port}", flush=True)
    sys.exit(server.serve_forever())
